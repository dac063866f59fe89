"""Bar 10: eight processes load `last` while a trainer saves and prunes; then a file is cut under them.

A trial is one load: two readings of the model, and of model and state together. None of `last` may
fail or mix two checkpoints; of the file that is cut, a load gives the whole model or a refusal,
never a signal.
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

READERS = 8
SETTING = ["--steps", 2, "--hidden", 8, "--batch", 8, "--init-images", 16, "--threads", 1,
           "--updates", 10**8, "--save-every", 1, "--keep", 1, "--validate-every", 0,
           "--sample-every", 0, "--progress", "none"]


def readers(args, mode, path, data, work, busy):
    """Lets readers read while busy() goes on; returns their loads, refusals and what went wrong."""
    end = work / "end"
    end.unlink(missing_ok=True)
    program = args.build / "tests" / "soak_reader"
    all_ = [subprocess.Popen([program, mode, path, data, end], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=trials.environment())
            for _ in range(READERS)]
    try:
        busy()
    finally:
        end.touch()
    totals, wrong = {"loads": 0, "refused": 0}, []
    for reader in all_:
        out, told = reader.communicate(timeout=120)
        if reader.returncode != 0:
            wrong.append(f"{mode}: exit code {reader.returncode}: {told.strip()}")
            continue
        for key, value in json.loads(out).items():
            totals[key] += value
    return totals, wrong


def beside_trainer(args, data, seconds):
    run = args.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    trainer = subprocess.Popen(
        [args.build / "rheo", "train", data, "--run", run, *map(str, SETTING)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=trials.environment())
    last = run / "checkpoints" / "last"
    while not last.exists() and trainer.poll() is None:
        time.sleep(0.01)
    totals, wrong = readers(args, "last", last, data, args.work, lambda: time.sleep(seconds))
    trainer.send_signal(signal.SIGTERM)
    told = trainer.communicate(timeout=60)[1].decode()
    if trainer.returncode != 128 + signal.SIGTERM:
        wrong.append(f"the trainer ended with {trainer.returncode}: {told}")
    saves = int(os.readlink(last).removeprefix("step_"))
    shutil.copy(last / "model.safetensors", args.work / "m.safetensors.whole")
    return totals, wrong, saves


def beside_cutter(args, data, seconds):
    path, whole = args.work / "m.safetensors", (args.work / "m.safetensors.whole").read_bytes()
    path.write_bytes(whole)
    cuts = 0

    def cut():
        nonlocal cuts
        end = time.monotonic() + seconds
        with open(path, "r+b", buffering=0) as file:
            while time.monotonic() < end:
                at = (7919 * cuts + 1) % len(whole)
                file.truncate(at)
                time.sleep(0.0005 * (cuts % 3))
                file.seek(at)
                file.write(whole[at:])
                time.sleep(0.0005 * (cuts % 5))
                cuts += 1

    totals, wrong = readers(args, "file", path, data, args.work, cut)
    return totals, wrong, cuts


def main():
    args = trials.arguments(__doc__)
    trials.write_data(args.work / "data")
    data = args.work / "data" / "vectors.npy"
    last, wrong, saves = beside_trainer(args, data, 0.75 * args.budget)
    cut, wrong_too, cuts = beside_cutter(args, data, 0.25 * args.budget)
    wrong += wrong_too
    for what in wrong:
        print(what, file=sys.stderr)
    if not last["loads"] or not 0 < cut["refused"] < cut["loads"]:
        wrong.append("nothing was tried")
        print(f"nothing was tried: {last}, {cut}", file=sys.stderr)
    print(json.dumps({"trials": last["loads"] + cut["loads"], "failures": len(wrong), "notes": {
        "loads of last": last["loads"], "checkpoints saved meanwhile": saves,
        "loads of the file being cut": cut["loads"], "of these refused": cut["refused"],
        "cuts": cuts}}), flush=True)
    return 1 if wrong else 0


sys.exit(main())
