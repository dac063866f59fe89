"""A run that goes back to a checkpoint: what it leaves, also where it is killed on the way.

    rollback_test.py RHEO_FAULTY SHIM FOLDER

RHEO_FAULTY is rheo with numbers that are not finite put into its training (numbers.cpp), SHIM makes
calls on files fail (io_shim.cpp).
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import unittest
from pathlib import Path

PROGRAM = SHIM = FOLDER = None  # set by main()

# Saved at updates 3, 6 and so on; the learning rate is constant, and the loss falls at first.
TRAIN = ["train", "toy:moons", "--points", 100, "--held-out", 10, "--model", "realnvp", "--steps", 1,
         "--hidden", 3, "--batch", 16, "--updates", 30, "--save-every", 3, "--sample-every", 0,
         "--samples", 8, "--warmup-images", 0, "--learning-rate", 0.01, "--schedule", "constant",
         "--threads", 1, "--keep", 99]
LOST = "gradient:nan:{}:20"  # as many in a row as send it back, after that update


def call(*args, fault="", shim=None):
    env = {**os.environ, "OMP_WAIT_POLICY": "passive", "RHEO_FAULT_NUMBER": fault}
    if shim:
        env |= {"LD_PRELOAD": SHIM, "RHEO_FAULT_FOLDER": str(FOLDER), **shim}
    return subprocess.run([PROGRAM, *map(str, args), "--progress", "plain"], env=env, timeout=120,
                          capture_output=True, text=True)


class Run:
    def __init__(self, name):
        self.path = FOLDER / name
        self.checkpoints = self.path / "checkpoints"

    def train(self, *args, fault="", shim=None):
        shutil.rmtree(self.path, ignore_errors=True)
        return call(*TRAIN, "--run", self.path, *args, fault=fault, shim=shim)

    def resume(self, fault="", shim=None):
        return call("train", "--resume", "--run", self.path, fault=fault, shim=shim)

    def begin(self, whole):
        """As `whole`, a run without faults, was after its sixth update, but for lines that are cut."""
        shutil.rmtree(self.path, ignore_errors=True)
        late = shutil.ignore_patterns(*[f"step_{step:08}" for step in range(9, 31, 3)], "last", "best")
        shutil.copytree(whole.path, self.path, symlinks=True, ignore=late)
        for name in ["last", "best"][:1 + (whole.checkpoints / "best").exists()]:
            (self.checkpoints / name).symlink_to("step_00000006")

    def lines(self, split):
        lines = map(json.loads, (self.path / "metrics.jsonl").read_text().splitlines())
        return [line for line in lines if line["split"] == split]

    def linked(self, name):
        return os.readlink(self.checkpoints / name)

    def steps(self):
        return sorted(p.name for p in self.checkpoints.iterdir() if not p.is_symlink())

    def about(self):
        """Metadata of the last state."""
        data = (self.checkpoints / "last" / "state.safetensors").read_bytes()
        return json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]

    def last(self):
        return [(self.checkpoints / "last" / name).read_bytes()
                for name in ("model.safetensors", "state.safetensors")]


class RollbackTest(unittest.TestCase):
    def done(self, result, code=0):
        self.assertEqual(result.returncode, code, result.stderr)

    def trained(self, name, *args, **options):
        run = Run(name)
        self.done(run.train(*args, **options))
        return run

    def begun(self, name, *args):
        run = Run(name)
        run.begin(self.trained("whole", *args))
        return run

    @staticmethod
    def fresh_log():
        log = FOLDER.with_suffix(".log")
        log.unlink(missing_ok=True)
        return log

    def each_update_once(self, run):
        self.assertEqual([line["step"] for line in run.lines("train")], list(range(1, 31)))

    def test_it_goes_back_once(self):
        """To the newest of other weights than those that failed."""
        run = self.trained("once", fault=LOST.format(6))
        [back] = run.lines("rollback")
        self.assertEqual((back["from"], back["step"]), (26, 3))
        self.assertIn("20 updates in a row", back["reason"])
        self.each_update_once(run)
        self.assertEqual(run.about()["rollbacks"], "1")

    def test_best_is_one_that_is_left(self):
        run = self.begun("best", "--validate-every", 3)
        tests = [line["bits_per_dim" if "bits_per_dim" in line else "nats"] for line in run.lines("test")]
        self.assertLess(tests[1], tests[0], "the best was that after the sixth update")
        # It fails again right after it went back: nothing newer takes the link.
        self.done(run.resume(fault="gradient:nan:0:99"), code=6)
        self.assertEqual([run.linked("best"), run.linked("last"), *run.steps()], ["step_00000003"] * 3)

    def test_a_damaged_one_is_set_aside(self):
        run = self.begun("aside")
        shutil.copytree(run.checkpoints / "step_00000003", run.checkpoints / "step_00000005")
        state = run.checkpoints / "step_00000005" / "state.safetensors"
        data = bytearray(state.read_bytes())
        data[-3] ^= 1
        state.write_bytes(data)
        self.done(run.resume(fault=LOST.format(0)))
        self.assertEqual([line["step"] for line in run.lines("rollback")], [3])
        self.assertIn("damaged_step_00000005", run.steps())
        aside = run.checkpoints / "damaged_step_00000005" / "state.safetensors"
        self.assertEqual(aside.read_bytes(), data)
        self.each_update_once(run)

    def test_where_names_cannot_change_places(self):
        """As on NFS: by way of a third name, to the same bytes."""
        log = self.fresh_log()
        plain = self.trained("plain", fault=LOST.format(6))
        other = self.trained("no_exchange", fault=LOST.format(6), shim={
            "RHEO_FAULT_KIND": "no_exchange", "RHEO_FAULT_LOG": str(log)})
        self.assertRegex(log.read_text(), r"(?m)^rename .*/\.old-step_00000003$")
        self.assertEqual(plain.steps(), other.steps())
        self.assertEqual(plain.last(), other.last())
        self.assertFalse(list(other.checkpoints.glob(".*")))

    def test_it_is_killed_at_any_call_on_its_files(self):
        log = self.fresh_log()
        begun, back, whole = self.begun("begun"), Run("back"), Run("whole")
        back.begin(whole)
        self.done(back.resume(fault=LOST.format(0), shim={"RHEO_FAULT_LOG": str(log)}))
        calls = log.read_text().splitlines()
        saved_next = next(i for i, call in enumerate(calls) if "step_00000009" in call)
        went_back = stayed = 0
        for at in range(1, saved_next + 1):
            with self.subTest(at=at, call=calls[at - 1]):
                run = Run("killed")
                shutil.rmtree(run.path, ignore_errors=True)
                shutil.copytree(begun.path, run.path, symlinks=True)
                self.done(run.resume(fault=LOST.format(0), shim={
                    "RHEO_FAULT_AT": str(at), "RHEO_FAULT_KIND": "KILL"}), code=-signal.SIGKILL)
                self.done(run.resume())
                self.each_update_once(run)
                rollbacks = len(run.lines("rollback"))
                self.assertEqual(int(run.about()["rollbacks"]), rollbacks)
                self.assertEqual(run.last(), (back if rollbacks else whole).last())
                went_back += rollbacks
                stayed += 1 - rollbacks
        self.assertGreater(min(went_back, stayed), 10)


def main():
    global PROGRAM, SHIM, FOLDER
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    PROGRAM, SHIM = sys.argv.pop(1), sys.argv.pop(1)
    FOLDER = Path(sys.argv.pop(1)).resolve()
    FOLDER.mkdir(parents=True, exist_ok=True)
    unittest.main()


if __name__ == "__main__":
    main()
