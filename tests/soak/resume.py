"""Bar 1: a run that is stopped and resumed is, byte for byte, the run that was never stopped.

A trial trains 200 updates twice, with settings drawn at random: once without a break, once stopped
by SIGTERM, SIGINT or both at random moments, or put back to an older checkpoint, and resumed until
it is done. Checkpoints, pictures and metrics must be the same; in metrics.jsonl all fields but
"time" and "images_per_s", which are measured.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import trials  # noqa: E402
from trials import Failure, add  # noqa: E402

UPDATES = 200
TIMES = ("time", "images_per_s")
FILES = ("model.safetensors", "state.safetensors")
IMAGES = {"glow": ["--levels", 2, "--steps", 2], "realnvp": ["--levels", 2, "--steps", 2]}
VECTORS = {"realnvp": ["--steps", 3], "nice": ["--steps", 3], "maf": ["--steps", 2],
           "iaf": ["--steps", 2]}


def has_bf16():
    with open("/proc/cpuinfo") as cpu:
        return "avx512_bf16" in cpu.read()


def maybe(rng, chance, *words):
    return list(words) if rng.random() < chance else []


def of_images(rng, data):
    family = rng.choice(list(IMAGES))
    grey = family == "glow" and rng.random() < 0.3
    args = [data / ("grey.npy" if grey else "colour.npy"), "--model", family, *IMAGES[family],
            "--precision", rng.choice(["f32", "bf16"] if has_bf16() else ["f32"])]
    args += maybe(rng, 0.5, "--flip") + maybe(rng, 0.5, "--shift", rng.randint(1, 2))
    if family == "glow" and rng.random() < 0.3:
        args += ["--labels", data / "labels.npy", "--conditional"]
    return family, args + maybe(rng, 0.2, "--scale", "bounded")


def of_vectors(rng, data):
    family = rng.choice(list(VECTORS))
    memory = ["--memory", "auto"] if family in ("maf", "iaf") else []
    return (f"{family} on vectors",
            [data / "vectors.npy", "--model", family, *VECTORS[family], *memory])


def drawn(rng, data):
    """The settings of a run."""
    what, args = (of_images if rng.random() < 0.7 else of_vectors)(rng, data)
    args += ["--hidden", rng.choice([8, 24]), "--batch", rng.randint(3, 12), "--updates", UPDATES,
             "--threads", rng.choice([0, 1, 2, 3]), "--loader-threads", rng.choice([1, 2, 4]),
             "--accumulate", rng.choice([1, 1, 2, 3]), "--seed", rng.randrange(1000),
             "--warmup-images", rng.choice([0, 700]), "--init-images", 16,
             "--schedule", rng.choice(["constant", "cosine"]),
             "--optimizer", rng.choice(["adam", "adamax", "adamax_openai"]),
             "--save-every", rng.choice([0, 7, 40]), "--keep", 1000,
             "--sample-every", rng.choice([0, 0, 60]), "--samples", 4]
    if "--memory" not in args:
        args += ["--memory", rng.choice(["auto", "full", "state", "invert"])]
    args += maybe(rng, 0.5, "--average", rng.choice([0.9, 0.999]))
    if rng.random() < 0.5:
        args += ["--held-out", 9, "--validate-every", rng.choice([0, 1, 10, 50])]
    return what, ["--progress", "none", *args]


class Run:
    """A run of the program in one folder."""

    def __init__(self, program, folder, setting):
        self.program, self.folder, self.setting = program, folder, setting

    def call(self):
        begun = (self.folder / "config.json").exists()
        more = ["--resume", "--progress", "none"] if begun else self.setting
        return subprocess.Popen([self.program, "train", "--run", self.folder, *map(str, more)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                env=trials.environment())

    def ended(self, process, allowed):
        try:
            told = process.communicate(timeout=300)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure("does not end") from None
        if process.returncode not in allowed:
            raise Failure(f"exit code {process.returncode}, not one of {allowed}: "
                          f"{told.decode(errors='replace').strip()}")
        return process.returncode

    def finish(self):
        self.ended(self.call(), {0})

    def lines(self):
        try:
            return (self.folder / "metrics.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def stop(self, rng, signals, line):
        """Sends signals once so many lines are there; returns whether it was stopped before its end."""
        process, before = self.call(), self.lines()
        while process.poll() is None and self.lines() < line:
            time.sleep(0.0005)
        time.sleep(rng.random() * 0.004)
        for number in signals:
            process.send_signal(number)
        code = self.ended(process, {0, *(128 + n for n in signals), *(-n for n in signals)})
        if code < 0 and self.lines() > before:
            raise Failure("a signal killed it at work")  # until it listens there is nothing to save
        return code != 0

    def go_back(self, rng):
        """Removes the checkpoints after one of them, drawn at random; returns whether there was one."""
        folder = self.folder / "checkpoints"
        steps = sorted(folder.glob("step_*")) if folder.exists() else []
        if len(steps) < 2:
            return False
        for step in steps[rng.randrange(1, len(steps)):]:
            shutil.rmtree(step)
        return True

    def metrics(self):
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]

    def samples(self):
        return {p.name: p.read_bytes() for p in (self.folder / "samples").iterdir()}


def break_off(rng, run, notes):
    how = rng.choice(["SIGTERM", "SIGINT", "both", "older checkpoint"])
    signals = {"SIGTERM": [signal.SIGTERM], "SIGINT": [signal.SIGINT],
               "both": [signal.SIGINT, signal.SIGTERM]}.get(how)
    line = rng.randrange(UPDATES)
    if signals is None:  # from a run that was stopped too, or has come to its end
        run.stop(rng, [signal.SIGTERM], line)
        broken = run.go_back(rng)
    else:
        broken = run.stop(rng, signals, line)
    add(notes, "breaks", how if broken else "came too late")


def compare(whole, other):
    for file in FILES:
        a, b = [(run.folder / "checkpoints" / "last" / file).read_bytes() for run in (whole, other)]
        if a != b:
            raise Failure(f"{file} differs")
    first, second = whole.metrics(), other.metrics()
    for a, b in zip(first, second):
        if a != b:
            raise Failure(f"metrics differ: {a} and {b}")
    if len(first) != len(second):
        raise Failure(f"metrics have {len(first)} and {len(second)} lines")
    if whole.samples() != other.samples():
        raise Failure("pictures differ")
    best = [os.readlink(p) if os.path.islink(p) else None
            for p in (run.folder / "checkpoints" / "best" for run in (whole, other))]
    if best[0] != best[1]:
        raise Failure(f"best is {best[0]} and {best[1]}")


def main():
    args = trials.arguments(__doc__)
    # A shell's background jobs are told to ignore it, and those they start with them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    data = args.work / "data"
    trials.write_data(data)

    def trial(rng, folder, notes):
        what, setting = drawn(rng, data)
        (folder / "setting.txt").write_text(" ".join(map(str, setting)) + "\n")
        whole, other = [Run(args.build / "rheo", folder / name, setting)
                        for name in ("whole", "other")]
        whole.finish()
        for _ in range(rng.choice([1, 1, 2, 4])):
            break_off(rng, other, notes)
        other.finish()
        compare(whole, other)
        add(notes, "models", what)

    sys.exit(trials.run(args, trial))


main()
