"""What the tests of the program share: how to call it, and the files to call it with."""

import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

import numpy as np

PROGRAM = None  # set by cli_test.py
FOLDER = None  # a Path; everything is written in here

TINY_MODEL = ["--levels", "2", "--steps", "2", "--hidden", "8"]
QUICK = ["--batch", "8", "--init-images", "16", "--warmup-images", "0", "--samples", "4"]
SIZE, IMAGES, CLASSES = 8, 40, 3


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")}
    return {**env, "TERM": "xterm", **changes}


def call(*args, **options):
    """Runs the program; the result has bytes in stdout and stderr."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120,
               "cwd": FOLDER, "env": environment(), **options}
    return subprocess.run([PROGRAM, *map(str, args)], **options)


def everything(folder):
    """Every path below a folder with its size: what a refused call must leave as it was."""
    return {(p, p.lstat().st_size) for p in Path(folder).rglob("*")}


class ProgramTest(unittest.TestCase):
    maxDiff = None

    def done(self, *args, **options):
        result = call(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr.decode(errors="replace"))
        return result

    def one_line(self, stderr):
        text = stderr.decode()
        self.assertRegex(text, r"\Arheo: [^\n]+\n\Z")
        strange = [c for c in text[:-1] if ord(c) < 32 or ord(c) == 127]
        self.assertEqual(strange, [], "control characters off a terminal")
        return text

    def refused(self, code, args, words, **options):
        before = everything(FOLDER)
        result = call(*args, **options)
        self.assertEqual(result.returncode, code, result.stderr.decode(errors="replace"))
        text = self.one_line(result.stderr)
        for word in words:
            self.assertIn(str(word), text)
        self.assertIn(result.stdout, (b"", None))
        self.assertEqual(everything(FOLDER) ^ before, set(), "something was left behind")


def png(pixels):
    """A PNG of uint8 [H, W, 1 or 3]."""
    height, width, channels = pixels.shape

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def idx(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape) + array.tobytes()


def split_safetensors(data):
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), data[8 + length:]


def join_safetensors(header, tail):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tail


def smooth_images(count, channels, seed=0):
    """Gradients with a little noise: something that a flow can learn."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, SIZE)
    slopes = rng.uniform(0, 100, (count, 1, 1, channels))
    base = rng.uniform(20, 100, (count, 1, 1, channels))
    images = base + slopes * ramp[None, :, None, None] + rng.normal(0, 4, (count, SIZE, SIZE,
                                                                          channels))
    return images.clip(0, 255).astype(np.uint8)


def write_data(folder):
    colour = smooth_images(IMAGES, 3)
    np.save(folder / "colour.npy", colour)
    np.save(folder / "colour_labels.npy", np.arange(IMAGES) % CLASSES)
    np.save(folder / "grey.npy", smooth_images(IMAGES, 1, seed=1))
    vectors = np.random.default_rng(2).normal(size=(IMAGES, 3))
    for columns, name in enumerate(["ones", "pairs", "triples"], 1):
        np.save(folder / f"{name}.npy", vectors[:, :columns].astype(np.float32))
    np.save(folder / "large.npy", np.zeros((4, 12, 10, 3), np.uint8))
    for i, name in enumerate(["a", "b", "c"]):
        (folder / "classes" / name).mkdir(parents=True)
        for k in range(8):
            (folder / "classes" / name / f"{k}.png").write_bytes(png(colour[8 * i + k]))
    (folder / "faces-idx3-ubyte.gz").write_bytes(gzip.compress(idx(colour[..., 0])))


def prepare(program):
    """The data and two tiny models: plain.safetensors, and by_class.safetensors with classes."""
    global PROGRAM, FOLDER
    PROGRAM = os.path.abspath(program)
    kept = tempfile.TemporaryDirectory(prefix="rheo-cli-")
    FOLDER = Path(kept.name)
    write_data(FOLDER)
    for name, more in {"plain": [], "by_class": ["--labels", "colour_labels.npy",
                                                 "--conditional"]}.items():
        result = call("train", "colour.npy", "--run", f"run_{name}", *TINY_MODEL, *QUICK,
                      "--updates", 6, *more)
        if result.returncode != 0:
            sys.exit(f"cannot train {name}: {result.stderr.decode(errors='replace')}")
        checkpoint = FOLDER / f"run_{name}" / "checkpoints" / "last" / "model.safetensors"
        (FOLDER / f"{name}.safetensors").write_bytes(checkpoint.read_bytes())
    return kept
