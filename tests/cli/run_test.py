"""rheo train: the run directory, resuming, stopping and killing."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np

import program
from program import CLASSES, IMAGES, QUICK, TINY_MODEL, ProgramTest, environment

ENDLESS = ["--updates", 1000000]


class RunTest(ProgramTest):
    def setUp(self):
        self.run_folder = program.FOLDER / "run"
        self.addCleanup(shutil.rmtree, self.run_folder, ignore_errors=True)
        self.addCleanup(shutil.rmtree, program.FOLDER / "other", ignore_errors=True)

    def train(self, *args, run="run", data=("colour.npy",)):
        return self.done("train", *data, "--run", run, *args)

    def begin(self, *args):
        return self.train(*TINY_MODEL, *QUICK, *args)

    def metrics(self, run="run", split="train"):
        lines = (program.FOLDER / run / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["split"] == split]

    def checkpoints(self):
        return sorted(os.listdir(self.run_folder / "checkpoints"))

    def linked(self, name):
        return os.readlink(self.run_folder / "checkpoints" / name)

    def same_files(self, one, other, files):
        for file in files:
            a, b = [(program.FOLDER / run / "checkpoints" / "last" / file).read_bytes()
                    for run in (one, other)]
            self.assertTrue(a == b, f"{file} of {one} and {other} differ")


class RunDirectoryTest(RunTest):
    def test_a_run_leaves_what_is_promised(self):
        self.begin("--updates", 6, "--save-every", 2, "--sample-every", 3, "--validate-every", 3,
                   "--held-out", 10, "--keep", 2)
        self.assertEqual([line["step"] for line in self.metrics()], list(range(1, 7)))
        tests = self.metrics(split="test")
        self.assertEqual([line["step"] for line in tests], [3, 6, 6])
        self.assertEqual(tests[-1]["images"], 10)
        best = min(tests[:2], key=lambda line: line["bits_per_dim"])
        self.assertEqual(self.linked("best"), f"step_{best['step']:08}")
        self.assertEqual(self.linked("last"), "step_00000006")
        kept = {"step_00000004", "step_00000006", self.linked("best"), "best", "last"}
        self.assertEqual(set(self.checkpoints()), kept)
        self.assertEqual(sorted(os.listdir(self.run_folder / "checkpoints" / "last")),
                         ["model.safetensors", "state.safetensors"])
        self.assertEqual(sorted(os.listdir(self.run_folder / "samples")),
                         ["latest.png", "step_00000003.png", "step_00000006.png"])

    def test_the_configuration_is_kept(self):
        self.begin("--updates", 2, "--seed", 7)
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["model"]["height"], 8)
        self.assertEqual(config["train"]["seed"], 7)
        self.assertEqual(config["compute"]["device"].split(":")[0], "cpu")
        self.assertIn(f"{IMAGES}x8x8x3-", config["data"]["train_fingerprint"])
        self.assertIn("--seed 7", config["command"])

    def test_a_run_can_be_repeated_from_its_configuration(self):
        self.begin("--updates", 3, "--seed", 7)
        self.train("--config", "run/config.json", "--samples", 4, run="other")
        self.same_files("run", "other", ["model.safetensors"])

    def test_flags_override_the_file(self):
        (program.FOLDER / "c.json").write_text(json.dumps(
            {"model": {"levels": 1, "steps": 1, "hidden": 8},
             "train": {"steps": 50, "batch": 4, "init_images": 8}}))
        self.train("--config", "c.json", "--updates", 2, "--levels", 2, "--samples", 4)
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual((config["model"]["levels"], config["model"]["hidden"]), (2, 8))
        self.assertEqual((config["train"]["steps"], config["train"]["batch"]), (2, 4))

    def test_folders_are_classes(self):
        self.train(*TINY_MODEL, *QUICK, "--updates", 2, "--conditional", data=["classes"])
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["model"]["classes"], CLASSES)

    def test_a_class_that_is_held_out_counts(self):
        labels = np.arange(IMAGES) % 2
        labels[0] = CLASSES - 1
        np.save(program.FOLDER / "rare_labels.npy", labels)
        self.begin("--updates", 2, "--labels", "rare_labels.npy", "--conditional", "--held-out", 1)
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["model"]["classes"], CLASSES)

    def test_a_time_limit_ends_a_run_well(self):
        self.begin(*ENDLESS, "--minutes", 0.02)
        last = self.metrics()[-1]["step"]
        self.assertEqual(self.linked("last"), f"step_{last:08}")

    def test_a_folder_in_use_is_refused(self):
        self.run_folder.mkdir()
        (self.run_folder / "notes.txt").write_text("mine")
        self.refused(3, ["train", "colour.npy", "--run", "run", *TINY_MODEL], ["run", "--resume"])
        self.refused(3, ["train", "--run", "run", "--resume"], ["run", "config.json"])
        self.refused(3, ["train", "colour.npy", "--run", "run/notes.txt"], ["run/notes.txt"])

    def test_one_process_at_a_time(self):
        self.begin("--updates", 2)
        folder = os.open(self.run_folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.refused(3, ["train", "--run", "run", "--resume", "--updates", 4], ["run", "another"])
        finally:
            os.close(folder)

    def test_a_run_that_diverges_says_so(self):
        args = ["train", "colour.npy", "--run", "run", *TINY_MODEL, *QUICK, "--updates", 200,
                "--learning-rate", 9e5, "--clip-norm", 0, "--progress", "none"]
        result = program.call(*args)
        self.assertEqual(result.returncode, 6, result.stderr)
        self.one_line(result.stderr)
        self.assertFalse((self.run_folder / "checkpoints" / "last").exists())


class ResumeTest(RunTest):
    def same_lines(self, one, other):
        for a, b in zip(self.metrics(one), self.metrics(other), strict=True):
            for key in ["step", "bits_per_dim", "gradient_norm", "learning_rate", "images"]:
                self.assertEqual(a[key], b[key], key)

    def test_a_resumed_run_is_the_unbroken_one(self):
        setting = ["--updates", 12, "--save-every", 5, "--average", 0.9, "--flip", "--shift", 1]
        self.train(*TINY_MODEL, *QUICK, *setting, run="other")
        self.begin(*setting)
        shutil.rmtree(self.run_folder / "checkpoints" / "step_00000010")
        shutil.rmtree(self.run_folder / "checkpoints" / "step_00000012")
        self.train("--resume", data=())
        self.same_files("run", "other", ["model.safetensors", "state.safetensors"])
        self.same_lines("run", "other")
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["resumed"][0]["step"], 5)

    def test_a_run_can_be_made_longer(self):
        self.train(*TINY_MODEL, *QUICK, "--updates", 12, run="other")
        self.begin("--updates", 5)
        self.train("--resume", "--updates", 12, data=())
        self.same_files("run", "other", ["model.safetensors"])
        self.same_lines("run", "other")
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["train"]["steps"], 12)
        self.begin_cosine_and_be_refused()

    def test_a_resumed_run_goes_on_as_it_was_set_up(self):
        self.begin("--updates", 4, "--save-every", 2, "--keep", 5)
        self.train("--resume", "--updates", 6, "--allow-inexact", "--threads", 1, data=())
        self.train("--resume", "--updates", 8, data=())  # with the one thread of the part before
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual(config["run"]["keep"], 5)
        steps = [name for name in self.checkpoints() if name.startswith("step")]
        self.assertEqual(steps, [f"step_{step:08}" for step in (2, 4, 6, 8)])

    def begin_cosine_and_be_refused(self):
        """A cosine is drawn to its end from the beginning."""
        shutil.rmtree(self.run_folder)
        self.begin("--updates", 5, "--schedule", "cosine")
        self.refused(2, ["train", "--run", "run", "--resume", "--updates", 12], ["--updates", "5", "12", "cosine"])

    def test_a_finished_run_has_nothing_to_do(self):
        self.begin("--updates", 3, "--held-out", 8)
        before = (self.run_folder / "metrics.jsonl").read_bytes()
        self.train("--resume", data=())
        self.assertEqual((self.run_folder / "metrics.jsonl").read_bytes(), before)

    def test_other_settings_are_refused(self):
        self.begin("--updates", 3)
        for args, words in [(["--batch", 4], ["batch", "8", "4"]), (["--hidden", 16], ["hidden"]),
                            (["--pad"], ["DATA"])]:
            self.refused(2, ["train", "--run", "run", "--resume", *args], words)
        self.refused(3, ["train", "grey.npy", "--run", "run", "--resume"], ["grey.npy"])
        other = ["train", "colour.npy", "--held-out", 4, "--run", "run", "--resume"]
        self.refused(3, [*other, "--updates", 9], ["data"])

    def test_lines_after_the_checkpoint_are_cut(self):
        self.begin("--updates", 3)
        with open(self.run_folder / "metrics.jsonl", "a") as metrics:
            metrics.write('{"step": 4, "time": 1, "split": "train", "bits_per_dim": 1}\n{"step": 5')
        self.train("--resume", "--updates", 6, data=())
        self.assertEqual([line["step"] for line in self.metrics()], list(range(1, 7)))

    def test_lines_that_are_missing_are_told_of(self):
        self.begin("--updates", 4)
        metrics = self.run_folder / "metrics.jsonl"
        metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
        done = self.train("--resume", data=())
        self.assertIn(b"ends with update 2; lines up to 4 are missing", done.stderr)

    def test_tests_by_class_take_labels_of_their_own(self):
        self.begin("--updates", 2, "--labels", "colour_labels.npy", "--conditional", "--test",
                   "colour.npy", "--test-labels", "colour_labels.npy", "--validate-every", 1)
        shutil.rmtree(self.run_folder / "checkpoints" / "step_00000002")
        self.train("--resume", data=())
        self.assertEqual([line["images"] for line in self.metrics(split="test")], [IMAGES] * 3)

    def test_a_runs_folder_stands_for_its_last_model(self):
        self.begin("--updates", 1)
        for name in ("run", "run/checkpoints/last"):
            self.done("sample", "--model", name, "--count", 4, "--output", "last.npy")

    def test_a_foreign_line_is_refused_and_a_torn_one_at_the_end_is_cut(self):
        self.begin("--updates", 2, "--held-out", 8, "--validate-every", 1)
        whole = (self.run_folder / "metrics.jsonl").read_bytes()
        test = {"step": 1, "time": 1, "split": "test", "bits_per_dim": 1}
        foreign = [{**test, "split": 3}, {**test, "time": "1"}, {**test, "final": "yes"},
                   {**test, "bits_per_dim": []}, {"step": 1}, {**test, "step": "1"},
                   {**test, "step": 2**64 - 1}]
        for line in [*map(json.dumps, foreign), "[" * 100000, "7"]:
            with self.subTest(line[:80]):
                (self.run_folder / "metrics.jsonl").write_bytes(line.encode() + b"\n" + whole)
                self.refused(3, ["train", "--run", "run", "--resume"],
                             ["metrics.jsonl", "line 1 is not a line of metrics"])
        for torn in (b"7\n", b'{"step": 2, "ti'):
            (self.run_folder / "metrics.jsonl").write_bytes(whole + torn)
            self.train("--resume", data=())
            self.assertEqual((self.run_folder / "metrics.jsonl").read_bytes(), whole)

    def test_a_test_without_a_result_is_passed_over(self):
        self.begin("--updates", 2, "--held-out", 8, "--validate-every", 1)
        test = b'{"step": 1, "time": 1, "split": "test"}\n'
        whole = (self.run_folder / "metrics.jsonl").read_bytes()
        (self.run_folder / "metrics.jsonl").write_bytes(test + whole)
        self.train("--resume", data=())
        self.assertEqual((self.run_folder / "metrics.jsonl").read_bytes(), test + whole)

    def test_a_damaged_checkpoint_is_named(self):
        self.begin("--updates", 3)
        for file in ["state.safetensors", "model.safetensors"]:
            path = self.run_folder / "checkpoints" / "last" / file
            whole = path.read_bytes()
            path.write_bytes(whole[:-10])
            self.refused(3, ["train", "--run", "run", "--resume"], [f"step_00000003/{file}"])
            path.write_bytes(whole)


class StopTest(RunTest):
    def start(self, *args):
        process = subprocess.Popen(
            [program.PROGRAM, "train", *map(str, args)], cwd=program.FOLDER, env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def begun(self, process, lines):
        """Waits until so many lines of metrics are there."""
        path = self.run_folder / "metrics.jsonl"
        for _ in range(600):
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                return
            if process.poll() is not None:
                self.fail(process.communicate()[1].decode())
            time.sleep(0.05)
        self.fail("the run did not begin")

    def whole(self):
        """The run's lines are those of its last checkpoint, each once, and it goes on."""
        step = int(self.linked("last").removeprefix("step_"))
        self.assertEqual([line["step"] for line in self.metrics()][:step],
                         list(range(1, step + 1)))
        self.train("--resume", "--updates", step + 3, data=())
        self.assertEqual([line["step"] for line in self.metrics()], list(range(1, step + 4)))
        self.assertFalse([name for name in self.checkpoints() if ".tmp" in name])

    def test_a_signal_saves_and_stops(self):
        for number in [signal.SIGINT, signal.SIGTERM]:
            with self.subTest(number):
                process = self.start("colour.npy", "--run", "run", *TINY_MODEL, *QUICK, *ENDLESS)
                self.begun(process, 3)
                process.send_signal(number)
                stdout, stderr = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 128 + number, stderr)
                self.assertEqual(stdout, b"")
                self.assertIn(b"--resume", stderr.splitlines()[-1])
                self.assertEqual(self.linked("last"), f"step_{self.metrics()[-1]['step']:08}")
                self.whole()
                shutil.rmtree(self.run_folder)

    def test_a_killed_run_goes_on_from_its_last_checkpoint(self):
        process = self.start("colour.npy", "--run", "run", *TINY_MODEL, *QUICK, *ENDLESS,
                             "--save-every", 2)
        self.begun(process, 7)
        process.kill()
        process.communicate()
        (self.run_folder / "checkpoints" / ".tmp-step_00000099-1").mkdir()
        self.whole()

    def test_a_run_killed_before_its_first_checkpoint_starts_over(self):
        process = self.start("colour.npy", "--run", "run", *TINY_MODEL, *QUICK, *ENDLESS)
        self.begun(process, 2)
        process.kill()
        process.communicate()
        self.train("--resume", "--updates", 3, data=())
        self.assertEqual([line["step"] for line in self.metrics()], [1, 2, 3])
