"""Bar 12: a process that works for long holds no more than it did after its first minutes.

Half of the time is rheo_endurance's, which trains, samples, scores, saves and resumes with the
library and makes and destroys models and trainers; half is one `rheo train` with a test, a picture
and a checkpoint every few updates. A trial is a model or a trainer made and destroyed, or a line
of the metrics that is there once.
"""

import json
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import trials  # noqa: E402

MEBIBYTES = 8  # or 1 % of what is held: what an allocator may keep of short lives


def growth(samples, key):
    """The most of the last fifth beyond the most of what came before the middle.

    What is measured first is left out: code that runs for the first time is read in.
    """
    third, half, last = (int(len(samples) * part) for part in (0.1, 0.5, 0.8))
    early = max(s[key] for s in samples[third:half])
    return max(s[key] for s in samples[last:]) - early, early


def check(samples, what, failures, notes):
    if len(samples) < 10:
        failures.append(f"{what}: only {len(samples)} measurements")
        return
    grown, early = growth(samples, "resident")
    if grown > max(MEBIBYTES << 20, early / 100):
        failures.append(f"{what}: memory grew by {grown >> 10} KiB over {early >> 10} KiB")
    notes[f"{what}_memory_growth_KiB"] = str(max(0, grown >> 10))
    for key in ("files", "threads"):
        grown, early = growth(samples, key)
        if grown > 0:
            failures.append(f"{what}: {key} grew by {grown} over {early}")
        notes[f"{what}_{key}"] = str(early)


def library(args, seconds, created, failures, notes):
    """How many models and trainers were made."""
    process = subprocess.run(
        [args.build / "tests" / "rheo_endurance", args.work / "endurance", str(seconds), str(created)],
        stdout=subprocess.PIPE, text=True, env=trials.environment())
    samples = [json.loads(line) for line in process.stdout.splitlines()]
    if process.returncode != 0:
        failures.append(f"library: exit code {process.returncode}")
        return 0
    check(samples, "library", failures, notes)
    notes["updates"] = samples[-1]["updates"]
    return samples[-1]["created"]


def held(pid):
    """What a process holds, or None once it is over."""
    try:
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        return {"resident": int(status["VmRSS"].split()[0]) << 10, "threads": int(status["Threads"]),
                "files": len(os.listdir(f"/proc/{pid}/fd"))}
    except (FileNotFoundError, KeyError, ProcessLookupError):
        return None


def program(args, seconds, failures, notes):
    """How many lines of metrics a run has, each once; what it holds is measured meanwhile."""
    trials.write_data(args.work / "data")
    run = args.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [args.build / "rheo", "train", args.work / "data" / "colour.npy", "--run", run, "--levels", 2,
               "--steps", 2, "--hidden", 16, "--batch", 8, "--updates", 10**9, "--minutes", seconds / 60,
               "--held-out", 8, "--init-images", 16, "--samples", 4, "--validate-every", 7,
               "--sample-every", 11, "--save-every", 5, "--average", 0.9, "--progress", "none"]
    process = subprocess.Popen([str(word) for word in command], env=trials.environment(),
                               stderr=subprocess.PIPE)
    samples, start = [], time.monotonic()
    while process.poll() is None:
        sample = held(process.pid)
        # Not on its way out: a library that is unloaded touches pages that nobody had read.
        if sample and (run / "metrics.jsonl").exists() and time.monotonic() - start < seconds:
            samples.append(sample)
        time.sleep(0.2 if seconds > 20 else 0.05)
    if process.returncode != 0:
        failures.append(f"program: exit code {process.returncode}: {process.stderr.read().decode()}")
        return 0
    check(samples, "program", failures, notes)
    with open(run / "metrics.jsonl") as file:
        lines = [json.loads(line) for line in file]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    if steps != list(range(1, len(steps) + 1)):
        failures.append("program: an update has no line of metrics, or two")
    tests = [line["step"] for line in lines if line["split"] == "test" and not line.get("final")]
    if [step for step in tests if step % 7 == 0] != list(range(7, len(steps) + 1, 7)):
        failures.append("program: a test has no line of metrics, or two")
    return len(lines)


def main():
    args = trials.arguments(__doc__)
    seconds = args.budget if args.budget < float("inf") else 8
    failures, notes = [], {}
    made = library(args, seconds / 2, args.trials or 0, failures, notes)
    lines = program(args, seconds / 2, failures, notes)
    for failure in failures:
        print(failure, file=sys.stderr)
    notes.update(made_and_destroyed=made, lines_of_metrics=lines)
    print(json.dumps({"trials": made + lines, "failures": len(failures), "notes": notes}))
    sys.exit(1 if failures else 0)


main()
