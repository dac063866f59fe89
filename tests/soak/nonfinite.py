"""Bar 5: numbers that are not finite change nothing, are counted, and end a run well if they must.

The program is rheo_faulty, which is rheo with tests/support/injector.cpp between it and the CPU. A
trial puts NaN or Inf into the input, the loss, a gradient or a weight of some updates, few or more
than twenty in a row, or trains with 100 times the learning rate.
"""

import array
import json
import math
import os
import re
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

import trials  # noqa: E402
from trials import Failure, add  # noqa: E402

IN_A_ROW = 20
PLACES = ["input", "loss", "gradient"]
VALUES = ["nan", "inf", "-inf"]
DIVERGED = 6


def require(holds, *words):
    if not holds:
        raise Failure(" ".join(map(str, words)))


def drawn(rng, data):
    """The settings of a run; the rate is constant, so that an update that is skipped leaves none."""
    args = [data / "colour.npy", "--levels", 2, "--steps", rng.choice([1, 2]), "--hidden",
            rng.choice([8, 16]), "--batch", rng.randint(3, 8), "--init-images", 16,
            "--warmup-images", 0, "--seed", rng.randrange(1000), "--threads", 1, "--keep", 1000,
            "--sample-every", 0, "--samples", 4, "--held-out", 8, "--precision", "f32",
            "--scale", rng.choice(["sigmoid2", "bounded"]),
            "--optimizer", rng.choice(["adam", "adamax", "adamax_openai"]),
            "--memory", rng.choice(["full", "state", "invert"])]
    if rng.random() < 0.5:
        args += ["--average", 0.9]
    if rng.random() < 0.3:
        args += ["--accumulate", 2]
    return args


class Run:
    """What a call of the program left in a folder of its own."""

    def __init__(self, program, folder, setting, fault=None):
        self.folder = folder
        env = trials.environment()
        if fault:
            env["RHEO_FAULT_NUMBER"] = ":".join(map(str, fault))
        command = [program, "train", "--run", folder, "--progress", "plain", *setting]
        done = subprocess.run(list(map(str, command)), env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=300)
        self.code, self.told = done.returncode, done.stderr.decode(errors="replace")
        self.lines = []
        if (folder / "metrics.jsonl").exists():
            self.lines = [json.loads(line) for line in open(folder / "metrics.jsonl")]
        self.check()

    def check(self):
        """What holds of every run: each update has one line, and every checkpoint is finite."""
        steps = [line["step"] for line in self.lines if line["split"] == "train"]
        require(steps == list(range(1, len(steps) + 1)), "metrics have updates", steps)
        for line in self.lines:
            if line["split"] == "train":
                finite = line["bits_per_dim"] is not None and line["gradient_norm"] is not None
                require(line["skipped"] or finite, "not skipped:", line)
        for path in (self.folder / "checkpoints").glob("*/*.safetensors"):
            require(all(map(math.isfinite, tensors(path)[1])), path, "is not finite")
        require("terminate" not in self.told and self.code >= 0, "crashed:", self.told)

    def ended(self, code):
        require(self.code == code, "exit code", self.code, "not", code, ":", self.told)

    def skipped(self):
        return [line["step"] for line in self.lines if line.get("skipped")]

    def rollbacks(self):
        return [line for line in self.lines if line["split"] == "rollback"]

    def last(self):
        """Header and floats of both files of the last checkpoint."""
        folder = self.folder / "checkpoints" / "last"
        return {name: tensors(folder / f"{name}.safetensors") for name in ("model", "state")}

    def last_step(self):
        return int(os.readlink(self.folder / "checkpoints" / "last").removeprefix("step_"))


def tensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    spans = sorted(v["data_offsets"] for k, v in header.items()
                   if k != "__metadata__" and v["dtype"] == "F32")
    values = array.array("f")
    for begin, end in spans:
        values.frombytes(data[8 + length + begin:8 + length + end])
    return header["__metadata__"], values


def few(rng, folder, program, data, notes):
    """Fewer than 20: what the updates leave is what there was before them."""
    place, value = rng.choice(PLACES), rng.choice(VALUES)
    first, count = rng.randint(0, 30), rng.choice([1, 1, 1, 2, 5, IN_A_ROW - 1])
    setting = drawn(rng, data)
    if first == 0:
        first = 1
    before = Run(program, folder / "before", [*setting, "--updates", first])
    before.ended(0)
    run = Run(program, folder / "run", [*setting, "--updates", first + count],
              (place, value, first, count))
    run.ended(0)
    require(run.skipped() == list(range(first + 1, first + count + 1)), "skipped", run.skipped())
    for name, (_, values) in before.last().items():
        require(run.last()[name][1] == values, name, "was changed by updates that were skipped")
    about = run.last()["state"][0]
    require(int(about["updates"]) == first and int(about["skipped_in_row"]) == count, about)
    longer = Run(program, folder / "longer", [*setting, "--updates", first + count + 3],
                 (place, value, first, count))
    longer.ended(0)
    require(longer.skipped() == run.skipped(), "skipped", longer.skipped())
    add(notes, "skipped", place)


def many(rng, folder, program, data, notes):
    """20 or more: back to the newest checkpoint of other weights, once."""
    place = rng.choice([*PLACES, "weight"])
    save_every, first = rng.randint(2, 6), rng.randint(8, 30)
    count = 1 if place == "weight" else rng.choice([IN_A_ROW, 25, 25, 39, 60])
    last_update = first + 1 if place == "weight" else first
    updates = first + rng.randint(25, 40)
    # A test's images pass where the input's faults are put; its own input is always finite.
    tests = 0 if place == "input" else rng.choice([0, 3])
    run = Run(program, folder / "run", [*drawn(rng, data), "--updates", updates, "--save-every",
                                        save_every, "--validate-every", tests],
              (place, rng.choice(VALUES), first, count))
    require(len(run.rollbacks()) == 1, "went back", len(run.rollbacks()), "times:", run.told)
    back = run.rollbacks()[0]
    if place == "weight" and "Trainer::save" in back["reason"]:
        # Nothing is made of this value, such as one above the diagonal of a lower triangle; two
        # saves in a row were refused.
        require(last_update < back["from"] <= last_update + 2 * save_every, back)
        add(notes, "went_back", "unused weight")
    else:
        require(back["from"] == last_update + IN_A_ROW, back)
    # Tests save as well, where they are better than those before.
    require(last_update - save_every - 1 <= back["step"] < last_update, back)
    require("half the learning rate" in run.told, run.told)
    rates = {line["learning_rate"] for line in run.lines
             if line["split"] == "train" and line["step"] > back["step"]}
    require(rates == {5e-4}, "rates", rates)
    about = run.last()["state"][0]
    require(about["rollbacks"] == "1", about)
    if place == "weight":
        require(re.search(r"(levels|prior)\S* value \d+ of \d+, is (NaN|[+-]inf)",
                          back["reason"].replace(", value", " value")), back["reason"])
    if count < 2 * IN_A_ROW:
        run.ended(0)
        require(run.last_step() == updates, "ended after", run.last_step())
    else:
        run.ended(DIVERGED)
        require(run.last_step() == back["step"], "last is", run.last_step(), "not", back["step"])
        require("gone back to a checkpoint once already" in run.told, run.told)
    add(notes, "went_back", place)
    if run.code:
        add(notes, "stopped", place)


def too_fast(rng, folder, program, data, notes):
    """100 times the rate, or much more: whatever comes of it, nothing that is saved is bad."""
    rate = rng.choice([0.1, 1, 10, 1000])
    setting = [*drawn(rng, data), "--learning-rate", rate, "--updates", 150, "--save-every",
               rng.choice([1, 10]), "--validate-every", rng.choice([0, 5])]
    if rng.random() < 0.3:
        setting += ["--clip-norm", 0]
    run = Run(program, folder / "run", setting)
    require(run.code in (0, DIVERGED), "exit code", run.code, run.told)
    if run.code:
        require(re.search(r"level \d, (step \d|its prior): |gradient of ", run.told), run.told)
    checkpoints = sorted((run.folder / "checkpoints").glob("step_*"))
    for path in checkpoints[-3:]:
        done = subprocess.run([program, "score", "--model", path / "model.safetensors", "--json",
                               data / "colour.npy"], capture_output=True, env=trials.environment())
        require(done.returncode in (0, DIVERGED), path, done.stderr.decode())
        add(notes, "scored", "yes" if done.returncode == 0 else "not finite, named")
    add(notes, f"rate {rate:g}", {0: "ended", DIVERGED: "stopped"}[run.code])


def main():
    args = trials.arguments(__doc__)
    program = args.build / "tests" / "rheo_faulty"
    data = args.work / "data"
    trials.write_data(data)
    kinds = [few, few, many, many, too_fast]
    sys.exit(trials.run(args, lambda rng, folder, notes: rng.choice(kinds)(
        rng, folder, program, data, notes)))


main()
