"""rheo with one of its system calls failing: what a trial is, and what must hold after it.

A trial is a run with two checkpoints, gone on with to the fourth update while call number `at` on its
files fails. All that is compared is compared with a run that was never disturbed.
"""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

REASONS = {"ENOSPC": "No space left on device", "EIO": "Input/output error",
           "EDQUOT": "Disk quota exceeded", "ESTALE": "Stale file handle"}
UPDATES = 3
TIMEOUT = 120  # seconds for what takes a twentieth
SETTINGS = ["--points", 100, "--held-out", 10, "--model", "realnvp", "--steps", 1, "--hidden", 3,
            "--batch", 16, "--save-every", 1, "--samples", 8, "--average", 0.5, "--schedule", "constant",
            "--threads", 1, "--progress", "none"]


class Faulty:
    """Trials with one program, below one folder."""

    def __init__(self, program, shim, folder, begin=True):
        self.program, self.shim, self.folder = str(program), str(shim), Path(folder).resolve()
        self.log = self.folder / "calls.log"
        self.reference, self.begun = self.folder / "reference", self.folder / "begun"
        self.watched = self.folder / "watched"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = self.reference / "checkpoints" / "last" / "model.safetensors"
        self.latents = self.folder / "latents.npy"
        if begin:
            self.make_reference()

    def make_reference(self):
        shutil.rmtree(self.reference, ignore_errors=True)
        self.must("train", "toy:moons", *SETTINGS, "--keep", UPDATES, "--updates", UPDATES, "--run",
                  self.reference)
        self.go_back()
        self.must("encode", "toy:moons", "--points", 20, "--model", self.model, "--output",
                  self.latents)

    def go_back(self):
        """The reference as it was after its second update."""
        shutil.rmtree(self.begun, ignore_errors=True)
        shutil.copytree(self.reference, self.begun, symlinks=True,
                        ignore=shutil.ignore_patterns("step_00000003", "best", "last", "*.npy"))
        for name in ("best", "last"):
            (self.begun / "checkpoints" / name).symlink_to("step_00000002")
        lines = (self.reference / "metrics.jsonl").read_text().splitlines(keepends=True)
        (self.begun / "metrics.jsonl").write_text("".join(lines[:2]))

    def call(self, *args, at=0, kind="EIO", lasting=False, **options):
        """The program with call `at` on files below `watched` failing."""
        self.log.unlink(missing_ok=True)
        env = {**os.environ, "LD_PRELOAD": self.shim, "RHEO_FAULT_FOLDER": str(self.watched),
               "RHEO_FAULT_LOG": str(self.log), "RHEO_FAULT_AT": str(at),
               "RHEO_FAULT_KIND": kind, "RHEO_FAULT_LASTING": "1" if lasting else "0",
               "OMP_WAIT_POLICY": "passive"}
        return self.plain(*args, env=env, **options)

    def plain(self, *args, prefix=(), **options):
        options = {"env": {**os.environ, "OMP_WAIT_POLICY": "passive"}, **options}
        return subprocess.run([*prefix, self.program, *map(str, args)], capture_output=True,
                              timeout=TIMEOUT, text=True, **options)

    def must(self, *args):
        result = self.plain(*args)
        if result.returncode != 0:
            raise RuntimeError(f"{args[0]}: {result.stderr}")

    def calls(self):
        """What the last call did below the folder: [(call, path)]."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [tuple(line.split(" ", 1)) for line in lines]

    # Training ------------------------------------------------------------------------------------

    RESUME = ["train", "--resume", "--keep", 2, "--progress", "none"]

    def resume_calls(self):
        """The calls of an undisturbed continuation."""
        self.put_back()
        assert self.call(*self.RESUME, "--run", self.watched).returncode == 0
        return self.calls()

    def put_back(self):
        shutil.rmtree(self.watched, ignore_errors=True)
        shutil.copytree(self.begun, self.watched, symlinks=True)

    def resume_trial(self, at, kind, lasting=False):
        """What is wrong after the trial; empty: nothing."""
        self.put_back()
        result = self.call(*self.RESUME, "--run", self.watched, at=at, kind=kind, lasting=lasting)
        done = self.calls()
        where = done[at - 1] if at <= len(done) else ("none", "")
        wrong = self.exit_wrong(result, kind, where)
        wrong += [f"while it was disturbed: {w}" for w in self.run_wrong()]
        if result.returncode == 0:  # all was done then, but for cleaning up
            wrong += [f"exit 0, but {w}" for w in self.end_wrong() if "left behind" not in w]
        again = self.plain(*self.RESUME, "--run", self.watched)
        if again.returncode != 0:
            wrong.append(f"the resume after it: exit {again.returncode}: {again.stderr.strip()}")
        else:
            wrong += [f"after the resume: {w}" for w in self.run_wrong() + self.end_wrong()]
        return [f"{kind}{' lasting' if lasting else ''} at {at}, {where[0]} {where[1]}: {w}"
                for w in wrong]

    def exit_wrong(self, result, kind, where):
        text = result.stderr.strip()
        if kind in ("EINTR", "short"):
            return [f"exit {result.returncode}, not 0: {text}"] if result.returncode else []
        if result.returncode == 0:
            return []  # of a call that need not succeed; that nothing is missing, is looked at
        named = str(self.watched) in text and REASONS[kind] in text
        return ([f"exit {result.returncode}, not 5: {text}"] if result.returncode != 5 else []) + (
            [] if named else [f"the message lacks path or reason: {text}"])

    def run_wrong(self):
        """Whatever has a final name must be whole."""
        wrong = []
        for entry in sorted((self.watched / "checkpoints").iterdir()):
            if entry.name.startswith(".tmp-"):
                continue
            if not (self.reference / "checkpoints" / entry.name).exists():
                wrong.append(f"{entry.name} is none of a run's names")
            elif entry.is_symlink():
                if not (entry / "model.safetensors").exists():
                    wrong.append(f"{entry.name} leads nowhere")
            else:
                wrong += self.differences(entry, self.reference / "checkpoints" / entry.name)
        steps = [int(p.name[5:]) for p in (self.watched / "checkpoints").glob("step_*")]
        if not steps or max(steps) < 2:
            wrong.append("the newest checkpoint is gone")
        for entry in (self.watched / "samples").iterdir():
            whole = (self.reference / "samples" / "latest.npy").read_bytes()
            if ".tmp-" not in entry.name and entry.read_bytes() != whole:
                wrong.append(f"{entry.name} is not whole")
        config = json.loads((self.watched / "config.json").read_text())
        if config["train"]["steps"] != UPDATES:
            wrong.append("config.json is not of this run")
        return wrong

    def differences(self, folder, wanted):
        names = {p.name for f in (folder, wanted) if f.exists() for p in f.iterdir()}
        return [f"{folder.name}/{name} is missing or not that of the undisturbed run"
                for name in sorted(names)
                if not (folder / name).exists() or not (wanted / name).exists() or
                (folder / name).read_bytes() != (wanted / name).read_bytes()]

    def end_wrong(self):
        """A finished run: all of it there, and nothing else."""
        wrong = [f"{p} was left behind" for p in self.watched.rglob("*") if ".tmp-" in p.name]
        if not (self.watched / "checkpoints" / f"step_{UPDATES:08}").exists():
            wrong.append("the last checkpoint is missing")
        steps = [line["step"] for line in self.metrics() if line["split"] == "train"]
        if steps != list(range(1, UPDATES + 1)):
            wrong.append(f"metrics.jsonl has the updates {steps}")
        return wrong

    def metrics(self):
        return [json.loads(line) for line in (self.watched / "metrics.jsonl").read_text().splitlines()]

    def barred_trial(self):
        """The newest checkpoint is whole, but not for this user to read."""
        self.put_back()
        model = self.watched / "checkpoints" / "step_00000002" / "model.safetensors"
        model.chmod(0)
        before = sorted(self.watched.rglob("*"))
        wrong = []
        result = self.plain(*self.RESUME, "--run", self.watched, prefix=self.unprivileged())
        if result.returncode != 3 or f"{model}: cannot be read: Permission" not in result.stderr:
            wrong.append(f"exit {result.returncode}: {result.stderr.strip()}")
        if sorted(self.watched.rglob("*")) != before:
            wrong.append("the run was changed")
        model.chmod(0o600)
        return wrong + self.run_wrong()

    @staticmethod
    def unprivileged():
        """What goes before a command that even root runs as others do; None where there is nothing."""
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--bounding-set=-all"] if shutil.which("setpriv") else None

    # A run that has not begun --------------------------------------------------------------------

    def begin_calls(self):
        shutil.rmtree(self.watched, ignore_errors=True)
        assert self.call(*self.begin()).returncode == 0
        return self.calls()

    def begin(self):
        return ["train", "toy:moons", *SETTINGS, "--keep", UPDATES, "--updates", UPDATES, "--run",
                self.watched]

    def begin_trial(self, at, kind, lasting=False):
        shutil.rmtree(self.watched, ignore_errors=True)
        result = self.call(*self.begin(), at=at, kind=kind, lasting=lasting)
        done = self.calls()
        where = done[at - 1] if at <= len(done) else ("none", "")
        wrong = self.exit_wrong(result, kind, where)
        again = self.plain(*self.begin())
        if again.returncode == 3 and (self.watched / "config.json").exists():
            again = self.plain("train", "--resume", "--progress", "none", "--run", self.watched)
        if again.returncode != 0:
            wrong.append(f"neither begun again nor resumed: {again.stderr.strip()}")
        else:
            wrong += [f"{p} was left behind" for p in self.watched.rglob("*") if ".tmp-" in p.name]
            for step in range(1, UPDATES + 1):
                name = f"step_{step:08}"
                wrong += self.differences(self.watched / "checkpoints" / name,
                                          self.reference / "checkpoints" / name)
        return [f"new run, {kind}{' lasting' if lasting else ''} at {at}, {where[0]} {where[1]}: {w}"
                for w in wrong]

    # Other outputs -------------------------------------------------------------------------------

    def outputs(self):
        """Commands that write a file, each with where to."""
        out = self.watched / "out.npy"
        model = ["--model", self.model, "--threads", 1]
        points = ["toy:moons", "--points", 20]
        return {"sample": ["sample", *model, "--count", 5, "--output", out],
                "encode": ["encode", *points, *model, "--output", out],
                "decode": ["decode", "--latents", self.latents, *model, "--output", out],
                "reconstruct": ["reconstruct", *points, *model, "--output", out],
                "toy": ["toy", "moons", out, "--count", 20]}

    def output_calls(self, name):
        """Of an undisturbed command, and what it writes."""
        shutil.rmtree(self.watched, ignore_errors=True)
        self.watched.mkdir()
        result = self.call(*self.outputs()[name])
        assert result.returncode == 0, result.stderr
        return self.calls(), (self.watched / "out.npy").read_bytes()

    def output_trial(self, name, wanted, at, kind, lasting=False):
        shutil.rmtree(self.watched, ignore_errors=True)
        self.watched.mkdir()
        out = self.watched / "out.npy"
        out.write_bytes(b"what was there before")
        result = self.call(*self.outputs()[name], at=at, kind=kind, lasting=lasting)
        done = self.calls()
        where = done[at - 1] if at <= len(done) else ("none", "")
        wrong = self.exit_wrong(result, kind, where)
        is_new = out.exists() and out.read_bytes() == wanted
        if not is_new and not (out.exists() and out.read_bytes() == b"what was there before"):
            wrong.append("the output is neither the old one nor the new one")
        if result.returncode == 0 and not is_new:
            wrong.append("exit 0 without the output")
        left = [p.name for p in self.watched.iterdir() if p != out]
        if left and not lasting:  # with every call failing nothing can be cleaned up
            wrong.append(f"left behind: {left}")
        return [f"{name}, {kind}{' lasting' if lasting else ''} at {at}, {where[0]} {where[1]}: {w}"
                for w in wrong]

    # Limits that the system sets ------------------------------------------------------------------

    def limited_trial(self, limit):
        """No file may be longer than so many bytes."""
        self.put_back()
        result = self.plain(*self.RESUME, "--run", self.watched, preexec_fn=lambda:
                            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        text = result.stderr
        wrong = self.run_wrong()
        if result.returncode != 5 or "File too large" not in text or str(self.watched) not in text:
            wrong.append(f"exit {result.returncode}: {text}")
        return [f"files of {limit} bytes at most: {w}" for w in wrong]

    def full_trial(self):
        """`watched` is a file system of 1 MiB, which a run fills up; it goes on once there is room."""
        run = self.watched / "run"
        wide = ["--hidden" if word == "--hidden" else 100 if before == "--hidden" else word
                for before, word in zip([""] + SETTINGS, SETTINGS)]
        train = ["train", "toy:moons", *wide, "--keep", 9, "--updates", 9, "--run", run]
        resume = ["train", "--resume", "--run", run, "--progress", "none", "--keep"]
        wrong = []
        for command in (train, [*resume, 9]):
            result = self.plain(*command)
            if result.returncode != 5 or REASONS["ENOSPC"] not in result.stderr:
                wrong.append(f"full: exit {result.returncode}: {result.stderr}")
            for checkpoint in (run / "checkpoints").glob("step_*"):
                if self.plain("info", checkpoint / "model.safetensors").returncode != 0:
                    wrong.append(f"{checkpoint} is damaged")
        for old in sorted((run / "checkpoints").glob("step_*"))[:-1]:
            shutil.rmtree(old)
        (run / "checkpoints" / "best").unlink(missing_ok=True)
        if (again := self.plain(*resume, 1)).returncode != 0:
            wrong.append(f"with room again: {again.stderr}")
        return wrong
