"""Each hostile file is refused: exit code 3, a message of its own, soon, and with little memory.

Usage: hostile_test.py PROGRAM
"""

import json
import os
import re
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import hostile  # noqa: E402

MEMORY = 64 << 20  # bytes beyond the file's own
SECONDS = 1.0


class Result(NamedTuple):
    code: int
    message: str
    peak: int  # bytes
    cpu: float  # seconds: whatever else the machine does


def run(words):
    """The program, once; what this process holds counts as the peak of the one that it starts."""
    with tempfile.TemporaryFile() as stderr:
        sink = os.open(os.devnull, os.O_RDWR)
        redirected = [(os.POSIX_SPAWN_DUP2, sink, 0), (os.POSIX_SPAWN_DUP2, sink, 1),
                      (os.POSIX_SPAWN_DUP2, stderr.fileno(), 2)]
        process = os.posix_spawn(words[0], words, {**os.environ, "OMP_NUM_THREADS": "1"},
                                 file_actions=redirected)
        os.close(sink)
        _, status, used = os.wait4(process, 0)
        stderr.seek(0)
        text = stderr.read().decode(errors="replace")
    return Result(os.waitstatus_to_exitcode(status), text, used.ru_maxrss << 10,
                  used.ru_utime + used.ru_stime)


def serve(requests, results):
    for line in requests:
        print(json.dumps(run(json.loads(line))), file=results, flush=True)
    os._exit(0)


def start_server():
    """A process that stays as small as this one is now."""
    (request_end, requests), (results, result_end) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(requests)
        serve(os.fdopen(request_end), os.fdopen(result_end, "w"))
    os.close(request_end)
    os.close(result_end)
    return os.fdopen(requests, "w"), os.fdopen(results)


def call(*args):
    print(json.dumps([PROGRAM, *map(str, args)]), file=SERVER[0], flush=True)
    return Result(*json.loads(SERVER[1].readline()))


class HostileTest(unittest.TestCase):
    def setUp(self):
        self.model = FOLDER / "good.safetensors"
        self.model.write_bytes(hostile.whole_model())
        self.data = FOLDER / "good.npy"
        self.data.write_bytes(hostile.npy(hostile.described("(4, 2, 2, 1)"), bytes(16)))
        self.base = call("score", "--model", self.model, self.data)
        self.assertEqual(self.base.code, 0, self.base.message)

    def refuse(self, name, size, part, *args, seconds=SECONDS):
        result = call(*args)
        self.assertEqual(result.code, 3, result.message)
        self.assertRegex(result.message, r"\Arheo: [ -~]+\n\Z")
        self.assertIn(name, result.message)
        self.assertIn(part, result.message)
        self.assertLess(result.cpu - self.base.cpu, seconds)
        self.assertLess(result.peak - self.base.peak, size + MEMORY)
        return result.message.replace(str(FOLDER), "").replace(name, "")

    def each(self, cases, command, folders=False):
        """`command` gives the words that read a path."""
        own = {}
        for name, data, part in cases:
            with self.subTest(name):
                path = FOLDER / ("folder_of_" + name if folders else "") / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
                message = self.refuse(name, len(data), part, *command(path))
                own.setdefault(re.sub(r"\bfolder_of_", "", message), []).append(name)
                path.unlink()
        self.assertGreater(len(own), 0.7 * len(cases), own)
        self.assertFalse((FOLDER / "owned").exists() or Path("owned").exists())

    def score(self, path):
        return ["score", "--model", self.model, path]

    def train(self, *args):
        return ["train", *args, "--run", FOLDER / "run"]

    def reader(self, path):
        """What reads an array file: points have no place in a model of images."""
        points = path.name in ("nan.npy", "wide.npy", "floats.npy", "doubles.npy")
        return self.train(path, "--model", "realnvp") if points else self.score(path)

    def test_models(self):
        cases = hostile.structures() + hostile.texts() + hostile.models()
        self.each([(name + ".safetensors", *case) for name, *case in cases], lambda p: ["info", p])

    def test_configs(self):
        self.each(hostile.configs(), lambda p: self.train(
            self.data, "--updates", 1, "--levels", 1, "--samples", 1, "--config", p))
        self.assertFalse((FOLDER / "run").exists())

    def test_arrays(self):
        self.each(hostile.arrays() + hostile.records(), self.reader)

    def test_images(self):
        self.each(hostile.images(), lambda p: self.score(p.parent), folders=True)

    def test_large_files(self):
        for name, make, part in hostile.large():
            with self.subTest(name):
                path = FOLDER / name
                path.write_bytes(make())
                self.addCleanup(path.unlink)
                words = self.reader(path)
                if name.startswith("labels"):
                    words = self.train(self.data, "--labels", path)
                elif name.endswith(".safetensors"):
                    words = ["info", path]
                self.refuse(name, path.stat().st_size, part, *words, seconds=20)

    def test_what_is_no_file(self):
        """None of these keeps the program waiting."""
        pipe, loop = FOLDER / "pipe.safetensors", FOLDER / "loop.safetensors"
        os.mkfifo(pipe)
        loop.symlink_to(loop)
        for path, part in [(pipe, "it is a pipe"), (loop, "Too many levels"),
                           (Path("/dev/zero"), "it is a device"), (FOLDER, "it is a folder")]:
            with self.subTest(path):
                self.refuse(str(path), 0, part, "info", path)

    def test_a_large_image_is_read_where_it_is_allowed(self):
        folder = FOLDER / "large"
        folder.mkdir()
        path = folder / "1.png"
        path.write_bytes(hostile.png(5000, 4000, bytes(5001 * 4000)))
        limit = ["--max-pixels", 20_000_000, "--resize"]
        self.refuse(path.name, path.stat().st_size, "at most 16777216 pixels; got 4000x5000",
                    *self.score(folder), "--resize")
        self.refuse(path.name, path.stat().st_size, "at most 19999999 pixels; got 4000x5000",
                    *self.score(folder), "--resize", "--max-pixels", 19_999_999)
        result = call(*self.score(folder), *limit)
        self.assertEqual(result.code, 0, result.message)
        for wrong in [0, -1, 2**31]:
            self.assertEqual(call(*self.score(folder), "--max-pixels", wrong).code, 2)

    def test_there_are_enough(self):
        files = (hostile.structures() + hostile.texts() + hostile.models() + hostile.configs()
                 + hostile.arrays() + hostile.records() + hostile.images())
        self.assertGreater(len(files), 100)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    SERVER = start_server()
    with tempfile.TemporaryDirectory(prefix="rheo-hostile-") as folder:
        FOLDER = Path(folder)
        unittest.main(verbosity=1)
