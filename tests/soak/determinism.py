"""Bar 7: the same seed gives the same bytes.

A trial makes a model with settings drawn at random, by training it ten times over: checkpoints and
metrics must be the same but for times. Then on the CPU any batch, order of images, offset and number
of threads must give the same samples, scores and latents. Training keeps its number of threads;
loader threads may differ. With a GPU at hand a third of the trials are on it, where only the same
batch promises the same bytes.
"""

import json
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import numpy as np  # noqa: E402

import trials  # noqa: E402
from trials import Failure, add  # noqa: E402

RUNS, SAMPLES = 10, 1000
TIMES = ("time", "images_per_s")


def require(holds, *words):
    if not holds:
        raise Failure(" ".join(map(str, words)))


class Case:
    def __init__(self, rng, program, data, folder, device):
        self.rng, self.program, self.data, self.folder = rng, program, data, folder
        self.device, self.precision = device, rng.choice(["f32", "auto"])
        self.model = folder / "model.safetensors"
        self.classes = rng.random() < 0.3

    def call(self, *words):
        done = subprocess.run([self.program, *map(str, words), "--device", self.device],
                              capture_output=True, timeout=600, env=trials.environment())
        require(done.returncode == 0, words, done.stderr.decode(errors="replace"))

    def threads(self):
        return self.rng.choice([0, 1, 2, 3, 4])

    def train(self):
        rng = self.rng
        setting = [self.data / "colour.npy", "--levels", 2, "--steps", rng.choice([1, 2, 3]),
                   "--hidden", rng.choice([8, 16, 40]), "--batch", rng.randint(3, 16), "--flip",
                   "--updates", 12, "--average", rng.choice([0, 0.9]), "--seed", rng.randrange(99),
                   "--accumulate", rng.choice([1, 2]), "--warmup-images", 64, "--init-images", 20,
                   "--scale", rng.choice(["sigmoid2", "bounded"]), "--samples", 4, "--held-out", 5,
                   "--precision", self.precision, "--progress", "none", "--threads",
                   rng.choice([1, 2, 3]), "--memory", rng.choice(["full", "state", "invert"])]
        if self.classes:
            setting += ["--labels", self.data / "labels.npy", "--conditional"]
        first = None
        for k in range(RUNS):
            run = self.folder / f"run_{k}"
            self.call("train", "--run", run, *setting, "--loader-threads", rng.choice([1, 2, 4]))
            last = run / "checkpoints" / "last"
            lines = [{key: value for key, value in json.loads(line).items() if key not in TIMES}
                     for line in open(run / "metrics.jsonl")]
            left = [lines, (last / "model.safetensors").read_bytes(),
                    without_loaders(last / "state.safetensors")]
            first = first or left
            require(left == first, "run", k, "differs")
        self.model.write_bytes(first[1])

    def all_same(self, what, many):
        """Every (words, back) of `many` must leave the same array, once back(array) undid the order."""
        first = None
        for words, back in many:
            out = self.folder / f"{what}.npy"
            self.call(what, "--model", self.model, *words, "--precision", self.precision,
                      "--output", out)
            left = back(np.load(out))
            first = left if first is None else first
            require(left.tobytes() == first.tobytes(), what, *words, "differs")

    def sample(self):
        seed = self.rng.randrange(2**63)
        batches = [1, 7, 64, 0] if self.device == "cpu" else [64, 64, 64]
        words = [["--count", SAMPLES, "--seed", seed, "--batch", batch, "--threads", self.threads()]
                 for batch in batches]
        self.all_same("sample", [(w, lambda x: x) for w in words])
        if self.device != "cpu" or self.classes:  # the class goes by the position in a call
            return
        part = self.rng.randrange(SAMPLES)
        whole = np.load(self.folder / "sample.npy")[part:part + 1]
        self.all_same("sample", [(["--count", 1, "--first", part, "--seed", seed], lambda x: x)])
        require((np.load(self.folder / "sample.npy") == whole).all(), "sample", part, "by itself differs")

    def reorder(self, what):
        """Images in any order; their noise would go by their place, so they get none."""
        images, labels = np.load(self.data / "colour.npy"), np.load(self.data / "labels.npy")
        many = []
        for k in range(4 if self.device == "cpu" else 2):
            order = list(range(len(images)))
            if k and self.device == "cpu":
                self.rng.shuffle(order)
            np.save(self.folder / f"x_{k}.npy", images[order])
            np.save(self.folder / f"y_{k}.npy", labels[order])
            words = [self.folder / f"x_{k}.npy", "--noise", "centre", "--threads", self.threads()]
            words += ["--labels", self.folder / f"y_{k}.npy"] if self.classes else []
            many.append((words, lambda x, order=np.argsort(order): x[order]))
        self.all_same(what, many)


def without_loaders(path):
    """A state's bytes less what tells of the loader threads, which may differ."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    train = json.loads(header["__metadata__"]["train"])
    train.pop("loader_threads")
    header["__metadata__"] = {k: v for k, v in header["__metadata__"].items() if k in (
        "steps", "updates", "images", "skipped_in_row", "rollbacks", "config", "data")}
    return json.dumps([header, train], sort_keys=True).encode() + data[8 + length:]


def has_gpu(program, data, folder):
    shutil.rmtree(folder / "try_gpu", ignore_errors=True)
    done = subprocess.run([program, "train", data / "colour.npy", "--run", folder / "try_gpu",
                           "--device", "cuda", "--levels", "1", "--steps", "1", "--hidden", "8",
                           "--updates", "1"], capture_output=True)
    return done.returncode == 0


def main():
    args = trials.arguments(__doc__)
    program, data = args.build / "rheo", args.work / "data"
    trials.write_data(data)
    devices = ["cpu", "cpu", "cuda"] if has_gpu(program, data, args.work) else ["cpu"]

    def trial(rng, folder, notes):
        case = Case(rng, program, data, folder, rng.choice(devices))
        case.train()
        case.sample()
        case.reorder("score")
        case.reorder("encode")
        for what, count in [("trainings", RUNS), ("samplings", 4), ("scorings", 4), ("encodings", 4)]:
            notes[what] = notes.get(what, 0) + count
        add(notes, "device", case.device)

    sys.exit(trials.run(args, trial))


main()
