"""The peers' processes of bench/compare, and the check that they and rheo compute the same."""

import json
import os
import subprocess

import machine
from python_env import fail

PEERS = machine.ROOT / "bench" / "peers"
FORMS = ("plain", "folded", "products")
MODELS = {"paper": {"levels": 3, "steps": 32, "hidden": 512},
          "small": {"levels": 3, "steps": 8, "hidden": 128}}
IMAGE = {"channels": 3, "height": 32, "width": 32}
# Relative to the largest. Float32: 96 steps and sums of 3072 values round in another order on each
# side; 2e-6 was seen, and each factor left out of the model moves the scores by 6e-5 and more, most
# by 1e-3. A bfloat16 network rounds each of its values by up to 4e-3, and 4e-5 (scores) and 5e-4
# (images) were seen.
TOLERANCE = {"f32": {"log_prob": 1e-5, "decode": 1e-4}, "bf16": {"log_prob": 2e-4, "decode": 5e-3}}


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        fail(f"{' '.join(map(str, command))} ended with status {result.returncode}:\n{result.stderr}")


class Peer:
    """A process of bench/peers/worker.py."""

    def __init__(self, python, library):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        self.library = library
        self.process = subprocess.Popen(
            [python, PEERS / "worker.py", library], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            fail(f"the process with {self.library} ended (status {self.process.wait()}) at {request}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Check:
    """Makes a checkpoint of a size with rheo, and compares what both sides make of it."""

    def __init__(self, build, python, folder):
        self.rheo = machine.program(build, "rheo")
        self.python, self.folder = python, folder

    def make(self, name, precisions):
        """The checkpoint's path; beside it lies what rheo computes with it."""
        files = self.folder / name
        files.mkdir()
        run(self.python, PEERS / "check_files.py", "images", files)
        sizes = [word for key, value in MODELS[name].items() for word in (f"--{key}", str(value))]
        run(self.rheo, "train", files / "images.npy", "--run", files / "run", "--device", "cpu",
            "--precision", "f32", "--progress", "none", *sizes, "--batch", "8", "--updates", "4",
            "--init-images", "16", "--optimizer", "adam", "--learning-rate", "2e-5",
            "--warmup-images", "0", "--samples", "1")
        model = str(files / "run" / "checkpoints" / "last" / "model.safetensors")
        run(self.python, PEERS / "check_files.py", "stir", model)
        for precision in precisions:
            self.outputs(files, precision, model)
        return model

    def outputs(self, files, precision, model):
        """Scores of the images, their latents, and images of these."""
        (files / precision).mkdir()
        for command, flag, given, made in (("score", "--input", "x", "log_prob"),
                                           ("encode", "--input", "x", "latents"),
                                           ("decode", "--latents", f"{precision}/latents",
                                            "decoded")):
            run(self.rheo, command, flag, files / f"{given}.npy", "--output",
                files / precision / f"{made}.npy", "--model", model, "--device", "cpu",
                "--precision", precision)

    def compare(self, name, model, precisions, peer):
        """{form/precision: {what: difference}}; ends the program where one is too large."""
        found = {}
        for precision in precisions:
            for form in FORMS:
                found[f"{form}/{precision}"] = answer = peer.ask(
                    do="check", mode="eager", form=form, precision=precision, model=model,
                    files=str(self.folder / name))
                if "error" in answer:
                    fail(f"the check of {form}/{precision} failed: {answer['error']}")
                for what, bound in TOLERANCE[precision].items():
                    if not answer[what] <= bound:
                        fail(f"rheo and PyTorch ({form}, {precision}) differ in {what} of the same "
                             f"{name} model by {answer[what]:.1e}, more than {bound:.0e}: not measured")
        return found
