"""What the pictures are of: a run's folder, the flow in it, and the data that it was trained on."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

# Points of a picture: enough to see the shape, few enough to see points.
COUNT = 4000


def fail(message):
    sys.exit(f"plot: {message}")


def read_config(run):
    """What the run was set up as; empty for a folder that holds metrics alone."""
    if not run.is_dir():
        fail(f"{run}: no such folder")
    path = run / "config.json"
    if not path.exists():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{path}: cannot be read: {error}")
    return config


def program(given):
    """The one that was named, else the one that scripts/build makes, else any."""
    built = pathlib.Path(__file__).resolve().parent.parent / "build" / "rheo"
    if given:
        found = shutil.which(given.absolute())
        return found or fail(f"--rheo {given}: no program there")
    return shutil.which(built) or shutil.which("rheo") or fail(
        f"no program {built} and no rheo in PATH: run scripts/build, or name one with --rheo")


class Flow:
    """A run's model, worked by the program."""

    def __init__(self, rheo, run, model):
        self.rheo, self.prior, self.steps = rheo, model["prior"], model["steps"]
        self.dims = model["dims"]
        self.checkpoint = run / "checkpoints" / "last" / "model.safetensors"
        if not self.checkpoint.exists():
            fail(f"{run}: no checkpoint yet: {self.checkpoint} is not there")
        self.order = slice(None) if self.dims != 2 else self.order_of_latents()

    def call(self, *words):
        done = subprocess.run([self.rheo, *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            fail(said[-1] if said else f"{self.rheo} {words[0]}: exit code {done.returncode}")

    def made(self, command, points, *words):
        """What the program writes as OUTPUT; IN and OUT among its words are the files."""
        with tempfile.TemporaryDirectory(prefix="rheo-plot-") as folder:
            files = {"IN": pathlib.Path(folder) / "in.npy", "OUT": pathlib.Path(folder) / "out.npy"}
            if points is not None:
                np.save(files["IN"], np.ascontiguousarray(points, np.float32))
            self.call(command, *(files.get(word, word) for word in words))
            return np.load(files["OUT"])

    def model_made(self, command, points, *words):
        return self.made(command, points, "--model", self.checkpoint, *words, "--output", "OUT",
                         "--precision", "f32", "--progress", "none")

    def order_of_latents(self):
        """Which latent is which coordinate of the states on the way, which are in the data's order:
        the pictures have one order."""
        none, first = self.model_made("decode", [[0, 0], [1, 0]], "--latents", "IN",
                                      "--steps-done", 0)
        return [0, 1] if first[0] != none[0] else [1, 0]

    def encode(self, points):
        return self.model_made("encode", points, "--input", "IN")[:, self.order]

    def decode(self, latents):
        return self.model_made("decode", latents[:, self.order], "--latents", "IN")

    def state_of_data(self, points, steps):
        return self.model_made("encode", points, "--input", "IN", "--steps-done", steps)

    def state_of_latents(self, latents, steps):
        return self.model_made("decode", latents[:, self.order], "--latents", "IN",
                               "--steps-done", steps)

    def log_prob(self, points):
        return self.model_made("score", points, "--input", "IN")

    def sample(self, count):
        return self.model_made("sample", None, "--count", count)

    def toy(self, kind, seed, noise, *words):
        usual = [] if noise is None else ["--noise", noise]
        return self.made("toy", None, kind, "OUT", "--count", COUNT, "--seed", seed, *usual, *words)


def moon(x, y):
    """Which of the two half circles is nearer; each is the other turned by half a turn."""
    def away(x, y):
        ends = np.minimum(np.hypot(x - 1, y), np.hypot(x + 1, y))
        return np.where(y > 0, abs(np.hypot(x, y) - 1), ends)
    return away(x, y) < away(1 - x, 0.5 - y)


def sector(x, y):
    """Which eighth of the way round."""
    return np.round(np.arctan2(y, x) / (np.pi / 4)) % 8


def blade(x, y):
    return np.round((np.arctan2(y, x) + np.exp(np.hypot(x, y) / 2) / 4) / (2 * np.pi / 5)) % 5


def arm(x, y):
    t = 3 * np.hypot(x, y)
    return y * np.sin(t) > x * np.cos(t)


# Which part of the picture a point belongs to, by the formulas of include/rheo/toy.h.
PARTS = {
    "moons": moon,
    "circles": lambda x, y: np.hypot(x, y) > 0.75,
    "checkerboard": lambda x, y: np.clip(np.floor(x / 2), -2, 1) + 2 + 4 * (y > 0),
    "spirals": arm,
    "eight_gaussians": sector,
    "pinwheel": blade,
}


class Data:
    """Points to draw, and which part of the picture a point belongs to, so that it can be followed
    through the flow: a moon, a blade. Of other data than the toys it is an eighth of the way round
    their mean."""

    def __init__(self, flow, config, path):
        source = str(path) if path else config["data"]["path"]
        if source.startswith("toy:") and not path:
            self.take_toy(flow, source.removeprefix("toy:"), config["data"].get("toy", {}))
        else:
            self.take_file(flow, source)

    def take_toy(self, flow, kind, drawn):
        seed, noise = drawn.get("seed", 0) + 1, drawn.get("noise")
        self.points = flow.toy(kind, seed, noise, "--standardise")
        raw = flow.toy(kind, seed, noise)
        scale = raw.std(0) / self.points.std(0)
        offset = raw.mean(0) - scale * self.points.mean(0)
        self.part = lambda x: PARTS[kind](*(x * scale + offset).T).astype(int)

    def take_file(self, flow, path):
        try:
            points = np.load(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "is no .npy file"
            fail(f"data {path}: {reason}; --data names another file")
        if points.ndim != 2 or points.shape[1] != flow.dims or len(points) == 0:
            fail(f"{path}: must be [N, {flow.dims}], as the model has them; got {points.shape}")
        if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
            fail(f"{path}: every value must be a finite number")
        spread = np.linspace(0, len(points) - 1, min(COUNT, len(points))).astype(int)
        self.points = points[spread].astype(np.float32)
        mean = self.points.mean(0)
        self.part = lambda x: sector(*(x - mean).T[:2]).astype(int)
