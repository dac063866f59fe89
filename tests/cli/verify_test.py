"""rheo verify: which parts of a file, a checkpoint or a run are whole; and resuming beside damage."""

import json
import os
import shutil

import program
from program import QUICK, TINY_MODEL, call
from run_test import RunTest


class FilesTest(RunTest):
    def begin_run(self):
        self.begin("--updates", 6, "--save-every", 2, "--keep", 9, "--held-out", 10, "--validate-every", 3)

    def verified(self, path):
        """The parts that are not whole, with what is wrong; the rest must be said to be whole."""
        result = call("verify", path, "--json")
        said = json.loads(result.stdout)
        self.assertEqual(said["path"], path)
        bad = {part["path"]: part["text"] for part in said["parts"] if not part["whole"]}
        self.assertEqual(said["whole"], not bad)
        self.assertEqual(result.returncode, 3 if bad else 0, result.stderr)
        if bad:
            text = self.one_line(result.stderr)
            self.assertIn(next(iter(bad)), text)
        lines = call("verify", path).stdout.decode().splitlines()
        self.assertEqual([line.split(":")[0].split(None, 1) for line in lines],
                         [["whole" if part["whole"] else "damaged", part["path"]]
                          for part in said["parts"]])
        return bad

    def spoil(self, path, at=-10):
        """Flips a bit of a file of the run."""
        path = self.run_folder / path
        data = bytearray(path.read_bytes())
        data[at] ^= 4
        path.write_bytes(data)

    def step(self, number):
        return f"checkpoints/step_{number:08}"

    def point(self, link, target):
        path = self.run_folder / "checkpoints" / link
        path.unlink()
        os.symlink(target, path)


class VerifyTest(FilesTest):
    def test_a_whole_run_is_said_to_be_whole(self):
        self.begin_run()
        self.assertEqual(self.verified("run"), {})
        text = self.done("verify", "run/").stdout.decode()
        for part in ["run/config.json", "run/metrics.jsonl: updates 1 to 6, each once",
                     "run/checkpoints/last: leads to step_00000006", "run/checkpoints/best: leads",
                     f"run/{self.step(6)}/model.safetensors: glow of",
                     f"run/{self.step(2)}/state.safetensors: after update 2, XXH3 "]:
            self.assertIn(part, text)

    def test_checkpoints_and_files_are_verified_by_themselves(self):
        self.begin_run()
        for path in ["run/checkpoints/last", "run/checkpoints/last/model.safetensors",
                     "run/checkpoints/last/state.safetensors", "plain.safetensors"]:
            self.assertEqual(self.verified(path), {})
        self.spoil("checkpoints/last/state.safetensors")
        self.assertEqual(list(self.verified("run/checkpoints/last")),
                         ["run/checkpoints/last/state.safetensors"])
        (self.run_folder / "checkpoints/last/state.safetensors").unlink()
        self.assertIn("No such file", str(self.verified("run/checkpoints/last")))

    def test_what_is_neither_is_refused(self):
        (program.FOLDER / "other").mkdir()
        self.refused(3, ["verify", "other"], ["other", "neither"])
        self.assertIn("No such file", str(self.verified("missing")))

    def test_a_folder_that_another_program_wrote_is_no_damaged_run(self):
        """As examples/double_moon leaves it, whose pictures scripts/plot draws."""
        self.begin("--updates", 2)
        path = self.run_folder / "config.json"
        whole = json.loads(path.read_text())
        path.write_text(json.dumps({"data": {"path": "toy:moons"}, "model": whole["model"]}))
        self.refused(3, ["verify", "run"],
                     ["run: is no run of rheo train", "verify run/checkpoints/last"])

    def test_each_damage_of_a_run_is_named(self):
        self.begin_run()
        shutil.copytree(self.run_folder, program.FOLDER / "other", symlinks=True)

        def cut(name, text):
            path = self.run_folder / name
            return lambda: path.write_text(path.read_text().replace(*text))

        def other_checkpoint():
            shutil.copy(self.run_folder / self.step(2) / "model.safetensors",
                        self.run_folder / self.step(4))

        def pipe():
            (self.run_folder / "metrics.jsonl").unlink()
            os.mkfifo(self.run_folder / "metrics.jsonl")

        for name, spoil, words in [
                (f"{self.step(4)}/model.safetensors",
                 lambda: self.spoil(f"{self.step(4)}/model.safetensors"), "have the hash"),
                (f"{self.step(4)}/state.safetensors", other_checkpoint, "saved with the model file"),
                ("config.json", cut("config.json", ('"model"', '"modle"')), "no section model"),
                ("config.json", cut("config.json", ("}", "")), "JSON"),
                ("metrics.jsonl", cut("metrics.jsonl", ('"step":3', '"step":2')), "must be of 3"),
                ("metrics.jsonl", cut("metrics.jsonl", ('"step":6', "")), "is not a line"),
                ("metrics.jsonl", (self.run_folder / "metrics.jsonl").unlink, "cannot be read"),
                ("metrics.jsonl", pipe, "must be a regular file"),
                ("checkpoints/last", lambda: (self.point("last", "step_00000099")), "not there")]:
            with self.subTest(name, words=words):
                spoil()
                bad = self.verified("run")
                self.assertEqual(list(bad), [f"run/{name}"])
                self.assertIn(words, bad[f"run/{name}"])
                shutil.rmtree(self.run_folder)
                shutil.copytree(program.FOLDER / "other", self.run_folder, symlinks=True)

    def test_the_end_of_a_killed_run_is_no_damage(self):
        self.begin_run()
        with open(self.run_folder / "metrics.jsonl", "a") as metrics:
            metrics.write('{"step": 7, "ti')
        (self.run_folder / "checkpoints" / ".tmp-step_00000008-1").mkdir()
        self.point("last", "step_00000004")
        self.assertEqual(self.verified("run"), {})
        text = self.done("verify", "run").stdout.decode()
        self.assertIn("a line at the end was cut off", text)
        self.assertIn("--resume makes it lead to the newest", text)

    def test_checkpoints_of_another_run_are_named(self):
        self.begin_run()
        self.train(*TINY_MODEL[:-1], 9, *QUICK, "--updates", 4, run="other")
        shutil.copytree(program.FOLDER / "other" / self.step(4), self.run_folder / self.step(4),
                        dirs_exist_ok=True)
        bad = self.verified("run")
        self.assertIn("not that of config.json", bad[f"run/{self.step(4)}/model.safetensors"])
        self.assertIn("its data were", bad[f"run/{self.step(4)}/state.safetensors"])


    def test_steps_of_nine_digits_are_compared_as_numbers(self):
        self.begin_run()
        for step in (99999999, 100000000):
            shutil.copytree(self.run_folder / self.step(6), self.run_folder / self.step(step))
        self.point("last", "step_99999999")
        text = call("verify", "run").stdout.decode()
        self.assertIn("leads to step_99999999; --resume makes it lead to the newest", text)

    def test_a_configuration_of_other_types_is_damaged(self):
        self.begin("--updates", 2)
        path = self.run_folder / "config.json"
        whole = json.loads(path.read_text())
        for data, words in [([], "must have an object data"),
                            ({**whole["data"], "train_fingerprint": 7}, "train_fingerprint")]:
            path.write_text(json.dumps({**whole, "data": data}))
            self.assertIn(words, self.verified("run")["run/config.json"])


class DamageTest(FilesTest):
    def test_a_newer_checkpoint_is_left_alone(self):
        self.begin("--updates", 4, "--save-every", 2)
        for name in ("model", "state"):
            path = self.run_folder / self.step(4) / f"{name}.safetensors"
            header, tail = program.split_safetensors(path.read_bytes())
            for key in ("xxh3_128", "rheo", "model"):  # as another's file, which needs no hash
                header["__metadata__"].pop(key, None)
            header["__metadata__"]["version"] = "2"
            path.write_bytes(program.join_safetensors(header, tail))

        def contents():
            return {path: path.read_bytes() for path in self.run_folder.rglob("*")
                    if path.is_file()}

        before = contents()
        self.refused(3, ["train", "--run", "run", "--resume", "--updates", 6],
                     [self.step(4), "format version 2", "use a newer rheo"])
        self.assertEqual(contents(), before)
        result = call("verify", "run")
        self.assertEqual(result.returncode, 3)
        self.assertIn("use the rheo that wrote it", self.one_line(result.stderr))
        self.assertIn(f"newer    run/{self.step(4)}/model.safetensors", result.stdout.decode())

    def test_only_what_a_killed_run_left_is_removed(self):
        self.begin("--updates", 4, "--save-every", 2)
        folder = self.run_folder / "checkpoints"
        (self.run_folder / "notes.tmp-1").write_text("mine")
        (self.run_folder / "config.json.tmp-12").write_text("{")
        (self.run_folder / "samples" / "latest.png.tmp-12-1").write_text("")
        (folder / ".tmp-step_00000009-12").mkdir()
        os.rename(folder / "step_00000004", folder / ".old-step_00000004")
        shutil.copytree(folder / "step_00000002", folder / ".old-step_00000002")
        self.train("--resume", data=())
        self.assertTrue((self.run_folder / "notes.tmp-1").exists())
        self.assertFalse((self.run_folder / "config.json.tmp-12").exists())
        self.assertFalse((self.run_folder / "samples" / "latest.png.tmp-12-1").exists())
        self.assertEqual(self.checkpoints(), ["last", "step_00000002", "step_00000004"])

    def test_a_resumed_run_passes_damaged_checkpoints_over(self):
        setting = ["--save-every", 2, "--keep", 9]
        self.train(*TINY_MODEL, *QUICK, *setting, "--updates", 12, run="other")
        self.begin(*setting, "--updates", 8)
        self.spoil(f"{self.step(8)}/model.safetensors")
        state = self.run_folder / self.step(6) / "state.safetensors"
        state.write_bytes(state.read_bytes()[:-7])
        told = self.train("--resume", "--updates", 12, "--progress", "none", data=()).stderr.decode()
        lines = told.splitlines()
        self.assertEqual(len(lines), 2, told)
        for line, step, word in [(lines[0], 8, "have the hash"), (lines[1], 6, "truncated")]:
            self.assertIn(self.step(step), line)
            self.assertIn(word, line)
            self.assertIn("going on from step_00000004", line)
        self.assertEqual([line["step"] for line in self.metrics()], list(range(1, 13)))
        self.same_files("run", "other", ["model.safetensors"])
        aside = [name for name in self.checkpoints() if name.startswith("damaged")]
        self.assertEqual(aside, ["damaged_step_00000006", "damaged_step_00000008"])
        self.assertEqual(self.verified("run"), {})

    def test_without_a_whole_checkpoint_nothing_is_begun_anew(self):
        self.begin("--updates", 4, "--save-every", 2)
        for step in (2, 4):
            self.spoil(f"{self.step(step)}/state.safetensors")
        self.refused(3, ["train", "--run", "run", "--resume"],
                     ["no whole checkpoint", self.step(4), "run/checkpoints"])
        shutil.rmtree(self.run_folder / "checkpoints")
        self.train("--resume", data=())
        self.assertEqual([line["step"] for line in self.metrics()], [1, 2, 3, 4])

    def test_links_are_mended(self):
        self.begin("--updates", 4, "--save-every", 2, "--held-out", 8, "--validate-every", 2)
        self.point("last", "step_00000002")
        self.point("best", "step_00000009")
        self.train("--resume", "--updates", 6, data=())
        self.assertEqual(self.linked("last"), "step_00000006")
        self.assertTrue((self.run_folder / "checkpoints" / "best").exists())
        self.assertEqual(self.verified("run"), {})

    def test_a_run_that_was_killed_before_its_configuration_was_there_can_begin(self):
        (self.run_folder / "checkpoints").mkdir(parents=True)
        (self.run_folder / "samples").mkdir()
        (self.run_folder / "config.json.tmp-1").write_text("{")
        self.refused(3, ["train", "--run", "run", "--resume"], ["config.json", "without --resume"])
        self.begin("--updates", 2)
        self.assertEqual(self.verified("run"), {})
