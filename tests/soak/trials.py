"""What soaks that call the program share: their arguments, their loop, and small data."""

import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import sys
import time


class Failure(Exception):
    """What must hold does not."""


def arguments(text):
    parser = argparse.ArgumentParser(description=text, allow_abbrev=False)
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--trials", type=int, help="end after so many")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first trial")
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def environment():
    # Threads that sleep at once, of which the library does not know: it shares the loops of small
    # models too.
    unwanted = ("CI", "NO_COLOR", "COLUMNS", "OMP_WAIT_POLICY")
    return {**{k: v for k, v in os.environ.items() if k not in unwanted}, "TERM": "xterm",
            "GOMP_SPINCOUNT": "0"}


def run(args, trial):
    """Calls trial(rng, folder, notes) until the time is over; a folder of a failure stays.

    Trial N is the same one each time: --from N --trials 1 repeats it.
    """
    end = time.monotonic() + args.budget
    done = failures = 0
    notes = {}
    while time.monotonic() < end and done != args.trials:
        number = args.first + done
        folder = args.work / f"trial_{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            trial(random.Random(number), folder, notes)
            shutil.rmtree(folder)
        except Failure as failure:
            failures += 1
            print(f"trial {number} failed, see {folder}: {failure}", file=sys.stderr)
        done += 1
        if done % 50 == 0:
            print(f"{done} trials, {failures} failed", file=sys.stderr)
    print(json.dumps({"trials": done, "failures": failures, "notes": notes}), flush=True)
    return 1 if failures else 0


def add(notes, group, key):
    """Counts one more of notes[group][key]."""
    counts = notes.setdefault(group, {})
    counts[key] = counts.get(key, 0) + 1


def npy(kind, shape, data):
    """A .npy file of "|u1", "<i4" or "<f4"."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def write_data(folder, size=8, images=40, classes=3):
    """colour.npy, grey.npy, labels.npy and vectors3.npy: noise over a ramp."""
    rng = random.Random(7)

    def pixels(channels):
        return bytes(min(255, max(0, int(rng.gauss(60 + 12 * x, 8)))) for _ in range(images)
                     for _ in range(size) for x in range(size) for _ in range(channels))

    folder.mkdir(parents=True, exist_ok=True)
    for name, channels in [("colour", 3), ("grey", 1)]:
        (folder / f"{name}.npy").write_bytes(
            npy("|u1", (images, size, size, channels), pixels(channels)))
    labels = [i % classes for i in range(images)]
    (folder / "labels.npy").write_bytes(npy("<i4", (images,), struct.pack(f"<{images}i", *labels)))
    values = [rng.gauss(0, 1) for _ in range(images * 3)]
    (folder / "vectors.npy").write_bytes(
        npy("<f4", (images, 3), struct.pack(f"<{len(values)}f", *values)))
