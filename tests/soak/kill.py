"""Bar 2: SIGKILL at a random moment of a run that saves after every update.

A trial trains a tiny flow, kills it, has `rheo verify` look at what is there, resumes the run, which
may be killed again, and compares what it ends with with a run that was never killed. No lost update
may be older than one save, nothing may need a hand, nothing half-written may stay.
"""

import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import trials  # noqa: E402
from trials import Failure, add  # noqa: E402

UPDATES = 24
SETTING = ["--steps", 2, "--hidden", 8, "--batch", 8, "--init-images", 16, "--warmup-images", 0,
           "--updates", UPDATES, "--save-every", 1, "--keep", 2, "--held-out", 9,
           "--validate-every", 5, "--sample-every", 6, "--samples", 4, "--average", 0.9,
           "--threads", 1]
FILES = ("model.safetensors", "state.safetensors")
TIMES = ("time", "images_per_s")


class Run:
    def __init__(self, program, folder, data):
        self.program, self.folder, self.data = program, folder, data

    def start(self):
        begun = (self.folder / "config.json").exists()
        more = ["--resume"] if begun else [self.data, *SETTING]
        return subprocess.Popen(
            [self.program, "train", "--progress", "none", "--run", self.folder, *map(str, more)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=trials.environment())

    def finish(self):
        process = self.start()
        try:
            told = process.communicate(timeout=300)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure("does not end") from None
        if process.returncode != 0 or told:
            raise Failure(f"exit code {process.returncode}: {told}")

    def kill(self, wait):
        """Whether it was still at work when wait(process) returned."""
        process = self.start()
        wait(process)
        process.kill()
        told = process.communicate()[1].decode(errors="replace")
        if told or process.returncode not in (0, -9):
            raise Failure(f"exit code {process.returncode}: {told}")
        return process.returncode != 0

    def lines(self):
        path = self.folder / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def metrics(self):
        """All whole lines, but for what is measured."""
        path = self.folder / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
        return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]

    def entries(self):
        folder = self.folder / "checkpoints"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def newest(self):
        steps = [name for name in self.entries() if name.startswith("step_")]
        return int(steps[-1].removeprefix("step_")) if steps else 0


def moment(run):
    """What the kill cut short, as far as it left a trace."""
    if not (run.folder / "config.json").exists():
        return "before the run began"
    temporary = [name for name in run.entries() if name.startswith(".tmp-")]
    if any(".tmp-last" in name or ".tmp-best" in name for name in temporary):
        return "while linking"
    if temporary:
        step = int(temporary[0].split("-")[1].removeprefix("step_"))
        return "while a checkpoint was written" if step > run.newest() else "while pruning"
    last = run.folder / "checkpoints" / "last"
    if run.newest() and (not last.is_symlink() or last.readlink().name != f"step_{run.newest():08}"):
        return "between renaming and linking"
    return "elsewhere"


def check(run):
    """That all that is there is whole, and at most the update that was being saved is lost."""
    if not (run.folder / "config.json").exists():
        if run.newest() or run.metrics():
            raise Failure("a run without config.json")
        return
    result = subprocess.run([run.program, "verify", run.folder], capture_output=True, timeout=60)
    if result.returncode != 0:
        raise Failure(f"verify: {result.returncode}: {result.stdout.decode()}{result.stderr.decode()}")
    updates = [line["step"] for line in run.metrics() if line["split"] == "train"]
    if updates and run.newest() < updates[-1] - 1:
        raise Failure(f"update {updates[-1]} was made, the newest checkpoint is of {run.newest()}")


def compare(run, whole):
    left = [p for p in run.folder.rglob("*") if ".tmp-" in p.name or "damaged" in p.name]
    if left:
        raise Failure(f"left behind: {left}")
    for name in FILES:
        a, b = [(r.folder / "checkpoints" / "last" / name).read_bytes() for r in (run, whole)]
        if a != b:
            raise Failure(f"{name} differs from that of the run that was not killed")
    if run.metrics() != whole.metrics():
        raise Failure("metrics differ from those of the run that was not killed")
    if run.entries() != whole.entries():
        raise Failure(f"checkpoints are {run.entries()}, not {whole.entries()}")
    for link in ("last", "best"):
        a, b = [os.readlink(r.folder / "checkpoints" / link) for r in (run, whole)]
        if a != b:
            raise Failure(f"{link} is {a}, not {b}")
    a, b = [{p.name: p.read_bytes() for p in (r.folder / "samples").iterdir()} for r in (run, whole)]
    if a != b:
        raise Failure(f"samples {sorted(a)} differ from {sorted(b)}")


def main():
    args = trials.arguments(__doc__)
    program, data = args.build / "rheo", args.work / "data"
    trials.write_data(data)
    whole = Run(program, args.work / "whole", data / "vectors.npy")
    subprocess.run(["rm", "-rf", whole.folder], check=True)
    began = time.monotonic()
    whole.finish()
    took = time.monotonic() - began
    pause = took / UPDATES  # of one update and its checkpoint

    def trial(rng, folder, notes):
        run = Run(program, folder / "run", data / "vectors.npy")

        def for_a_time(process):
            time.sleep(rng.uniform(0, took))

        def for_a_line(process):
            line = rng.randint(run.lines() + 1, max(run.lines() + 1, len(whole.metrics())))
            while process.poll() is None and run.lines() < line:
                time.sleep(0.0002)
            time.sleep(rng.uniform(0, pause))

        while True:
            if run.kill(rng.choice([for_a_time, for_a_line, for_a_line])):
                add(notes, "kills", moment(run))
                check(run)
                if rng.random() < 0.4:
                    break
            else:
                add(notes, "kills", "too late")
                break
        before = run.newest()
        run.finish()
        resumed = json.loads((run.folder / "config.json").read_text()).get("resumed", [])
        if before and resumed[-1]["step"] != before:
            raise Failure(f"resumed at {resumed[-1]['step']}, the newest whole one was {before}")
        compare(run, whole)

    sys.exit(trials.run(args, trial))


main()
