"""Resuming: what a run was computed with is used again, or refused; what a signal cut short is made up."""

import json
import os
import shutil
import unittest

import program
from program import QUICK, TINY_MODEL, ProgramTest, environment

TIMES = ("time", "images_per_s")


def has(flag):
    with open("/proc/cpuinfo") as cpu:
        return flag in cpu.read().split()


class StoredComputeTest(ProgramTest):
    def setUp(self):
        self.addCleanup(shutil.rmtree, program.FOLDER / "run", ignore_errors=True)
        self.done("train", "colour.npy", "--run", "run", *TINY_MODEL, *QUICK, "--updates", 2,
                  "--threads", 3, "--precision", "f32", "--memory", "state", "--device", "cpu")

    def computed(self):
        config = json.loads((program.FOLDER / "run" / "config.json").read_text())
        return [part["compute"] for part in [config, *config.get("resumed", [])]]

    def resume(self, *args):
        return ["train", "--run", "run", "--resume", "--updates", 4, *args]

    def test_what_the_run_had_is_used_again(self):
        self.done(*self.resume())
        first, second = self.computed()
        self.assertEqual((first["threads"], first["precision"], first["memory"]), (3, "f32", "state"))
        self.assertEqual(first, second)

    def test_anything_else_is_refused(self):
        other = {"threads": (["--threads", 1], ["3", "1"]), "memory": (["--memory", "full"], ["state"])}
        if has("avx512_bf16"):
            other["precision"] = (["--precision", "bf16"], ["f32"])
        for key, (args, words) in other.items():
            with self.subTest(key):
                self.refused(3, self.resume(*args), [key, *words, "--allow-inexact"])

    def test_it_goes_on_where_that_is_allowed(self):
        self.done(*self.resume("--threads", 1, "--memory", "full", "--allow-inexact"))
        self.assertEqual((self.computed()[1]["threads"], self.computed()[1]["memory"]), (1, "full"))

    @unittest.skipUnless(has("avx512f"), "oneDNN cannot be held to less than this processor has")
    def test_other_instructions_are_refused(self):
        """Of oneDNN too, whose products sum in another order with them."""
        less = environment(ONEDNN_MAX_CPU_ISA="AVX2")
        self.refused(3, self.resume(), ["instruction_set", "avx2", "--allow-inexact"], env=less)
        self.done(*self.resume("--allow-inexact"), env=less)
        self.assertIn("avx2 products", self.computed()[1]["instruction_set"])


class CutShortTest(ProgramTest):
    """A signal may come after an update and before the test and the picture that are due."""

    SETTING = ["colour.npy", *TINY_MODEL, *QUICK, "--updates", 6, "--save-every", 3, "--sample-every",
               3, "--validate-every", 3, "--held-out", 8]

    def setUp(self):
        for name in ("whole", "cut"):
            self.addCleanup(shutil.rmtree, program.FOLDER / name, ignore_errors=True)
            self.done("train", *self.SETTING, "--run", name)
        self.folder = program.FOLDER / "cut"

    def metrics(self, run):
        lines = map(json.loads, (program.FOLDER / run / "metrics.jsonl").read_text().splitlines())
        return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]

    def cut(self, step, *words):
        """The run as it was after this update, of whose lines those with a word are missing."""
        path = self.folder / "metrics.jsonl"
        kept = [line for line in path.read_text().splitlines(keepends=True)
                if not (json.loads(line)["step"] == step and any(word in line for word in words))]
        path.write_text("".join(kept))
        for folder in (self.folder / "checkpoints").glob("step_*"):
            if folder.name > f"step_{step:08}":
                shutil.rmtree(folder)

    def resumed(self):
        self.done("train", "--run", "cut", "--resume")
        self.assertEqual(self.metrics("cut"), self.metrics("whole"))
        for name in ("step_00000003.png", "step_00000006.png"):
            self.assertEqual((self.folder / "samples" / name).read_bytes(),
                             (program.FOLDER / "whole" / "samples" / name).read_bytes())
        self.assertEqual(os.readlink(self.folder / "checkpoints" / "best"),
                         os.readlink(program.FOLDER / "whole" / "checkpoints" / "best"))

    def test_in_the_middle(self):
        self.cut(3, '"test"')
        (self.folder / "samples" / "step_00000003.png").unlink()
        self.resumed()

    def test_before_the_last_test(self):
        self.cut(6, '"final"')
        self.resumed()

    def test_before_the_tests_of_the_last_update(self):
        self.cut(6, '"test"')
        (self.folder / "samples" / "step_00000006.png").unlink()
        self.resumed()
