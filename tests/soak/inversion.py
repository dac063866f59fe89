"""Bar 6: decode undoes encode, and what is not finite is told, never handed out.

In WORK/models lie the models to try, any .safetensors of images of one size, and WORK/pictures is
the data set of real images, all that `rheo reconstruct` takes. Where there are none, two small ones
are trained on made-up pictures, one of each scale. Trials take one kind of input after the other, for
one model after the other.
"""

import json
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import numpy as np  # noqa: E402

import trials  # noqa: E402
from trials import Failure  # noqa: E402

DIVERGED = 6
PLACE = re.compile(r"level \d+, (step \d+|its prior)")
MANY = 64  # images of a kind, in a trial


def ramps(rng, count, size):
    """Gradients with a little noise: something that a flow can learn."""
    steps = np.linspace(0, 1, size)
    slopes = rng.uniform(-100, 100, (2, count, 1, 1, 3))
    images = (128 + rng.uniform(-60, 60, (count, 1, 1, 3)) + slopes[0] * steps[:, None, None] +
              slopes[1] * steps[None, :, None] + rng.normal(0, 4, (count, size, size, 3)))
    return images.clip(0, 255).astype(np.uint8)


class Bench:
    """A model, the program, and what was counted of them."""

    def __init__(self, program, path, pictures, folder, rng, notes):
        self.program, self.path, self.pictures, self.folder = program, path, pictures, folder
        self.rng, self.counts = np.random.default_rng(rng.randrange(2**32)), notes
        config = json.loads(self.call("info", path, "--json").stdout)["config"]
        self.bounded = config["scale"] == "bounded" or config["coupling"] == "additive"
        self.shape = (config["height"], config["width"], config["channels"])

    def call(self, *words, allowed=(0,)):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, timeout=3600,
                              env=trials.environment())
        if done.returncode not in allowed:
            raise Failure(f"{words}: exit code {done.returncode}: {done.stderr.decode()}")
        if done.returncode == DIVERGED and not PLACE.search(done.stderr.decode()):
            raise Failure(f"{words}: names no layer: {done.stderr.decode()}")
        return done

    def add(self, what, **numbers):
        name = self.path.stem.replace("_", " ")
        group = self.counts.setdefault(name, {}).setdefault(what, {})
        for key, value in numbers.items():
            group[key] = group.get(key, 0) + value

    def may_diverge(self):
        """A bounded scale never leaves the finite numbers; the published one tells where it does."""
        return (0,) if self.bounded else (0, DIVERGED)

    def back(self, what, data, count, precision="f32"):
        """Pixels through encode and decode, with noise in the middle of each bin; whether all came
        back."""
        done = self.call("reconstruct", "--model", self.path, data, "--count", count, "--json",
                         "--precision", precision, allowed=self.may_diverge())
        if done.returncode:
            return None
        told = json.loads(done.stdout)
        self.add(what, images=told["images"], pixels=told["pixels"], exact=told["exact"])
        return told["exact"] == told["pixels"]

    def real(self):
        if not self.back("real, f32", self.pictures, 10000):
            raise Failure("a pixel of a real image did not come back")

    def real_bf16(self):
        bf16 = "avx512_bf16" in open("/proc/cpuinfo").read()
        if bf16 and self.back("real, bf16", self.pictures, 10000, "bf16") is None:
            self.add("real, bf16", not_finite=1)

    def made(self, name, images):
        """Images that no model was trained on: on some float32 is too coarse, and the share of
        pixels that come back is told."""
        what, path = f"{name}, f32", self.folder / f"{name}.npy"
        images = images.clip(0, 255).astype(np.uint8)
        np.save(path, images)
        if self.back(what, path, MANY) is not None:
            return
        for image in images:
            np.save(path, image[None])
            if self.back(what, path, 1) is None:
                self.add(what, not_finite=1)

    def gaussian(self):
        self.made("gaussian", self.rng.normal(128, 64, (MANY, *self.shape)))

    def uniform(self):
        self.made("uniform", self.rng.integers(0, 256, (MANY, *self.shape)))

    def constant(self):
        values = self.rng.permutation(256)[:MANY].reshape(-1, 1, 1, 1)
        values[:2] = [[[[0]]], [[[255]]]]
        self.made("constant", np.broadcast_to(values, (MANY, *self.shape)))

    def checkerboard(self):
        height, width, _ = self.shape
        squares = 2 ** self.rng.integers(0, 4, (MANY, 1, 1, 1))
        i, j = np.arange(height)[None, :, None, None], np.arange(width)[None, None, :, None]
        board = (i // squares + j // squares) % 2
        two = np.sort(self.rng.integers(0, 256, (2, MANY, 1, 1, self.shape[2])), axis=0)
        two[:, :8] = [[[[[0]]]], [[[[255]]]]]
        self.made("checkerboard", np.where(board, two[1], two[0]))

    def shuffled(self):
        """The pixels of real images in random places."""
        shown = self.folder / "latents.npy"
        self.call("encode", "--model", self.path, self.pictures, "--noise", "centre", "--output", shown)
        latents = np.load(shown, mmap_mode="r")
        chosen = self.rng.choice(len(latents), MANY, replace=len(latents) < MANY)
        np.save(self.folder / "some.npy", np.ascontiguousarray(latents[chosen]))
        images = self.decoded(self.folder / "some.npy", (0,))
        pixels = np.floor((images + 0.5) * 256).reshape(MANY, -1, self.shape[2])
        self.made("shuffled", self.rng.permuted(pixels, axis=1).reshape(MANY, *self.shape))

    def decoded(self, latents, allowed):
        out = self.folder / "decoded.npy"
        done = self.call("decode", "--model", self.path, "--latents", latents, "--output", out,
                         "--precision", "f32", allowed=allowed)
        if done.returncode:
            return None
        images = np.load(out)
        if not np.isfinite(images).all():
            raise Failure(f"decode of {latents} wrote what is not finite")
        return images

    def far_latents(self):
        """10 sigma, one image a call where the share is wanted that is finite."""
        latents = self.rng.normal(0, 10, (MANY, np.prod(self.shape))).astype(np.float32)
        parts = [latents] if self.bounded else np.split(latents, MANY)
        for part in parts:
            np.save(self.folder / "far.npy", part)
            images = self.decoded(self.folder / "far.npy", self.may_diverge())
            if images is None:
                self.add("latents at 10 sigma", not_finite=len(part))
                continue
            self.add("latents at 10 sigma", finite=len(part))
            self.encoded_again(images)

    def encoded_again(self, images):
        """Their images lie far outside of [-0.5, 0.5]: encode need not bring the latents back, but
        must not write what is not finite."""
        np.save(self.folder / "far_x.npy", images)
        out = self.folder / "far_z.npy"
        done = self.call("encode", "--model", self.path, "--input", self.folder / "far_x.npy",
                         "--output", out, "--precision", "f32", allowed=(0, DIVERGED))
        if done.returncode == 0 and not np.isfinite(np.load(out)).all():
            raise Failure("encode wrote what is not finite")
        self.add("latents at 10 sigma", **{"encoded" if done.returncode == 0 else "not_encoded":
                                           len(images)})

    def temperatures(self):
        for tenth in range(0, 21, 2):
            for first in range(0, MANY, MANY if self.bounded else 8):
                count = MANY if self.bounded else 8
                done = self.call("sample", "--model", self.path, "--temperature", tenth / 10,
                                 "--count", count, "--first", first, "--seed",
                                 self.rng.integers(2**31), "--output", self.folder / "s.npy",
                                 "--precision", self.rng.choice(["f32", "auto"]),
                                 allowed=self.may_diverge())
                self.add("temperatures 0 to 2", **{
                    "not_finite" if done.returncode else "finite": count})


KINDS = [Bench.real, Bench.gaussian, Bench.uniform, Bench.constant, Bench.checkerboard,
         Bench.shuffled, Bench.far_latents, Bench.temperatures, Bench.real_bf16]


def prepare(args, program):
    """The models and pictures to try."""
    models, pictures = args.work / "models", args.work / "pictures"
    if not pictures.exists():
        pictures = args.work / "pictures.npy"
        np.save(pictures, ramps(np.random.default_rng(1), 400, 16))
    models.mkdir(exist_ok=True)
    for scale in ["bounded", "published"] if not list(models.iterdir()) else []:
        run = args.work / f"run_{scale}"
        shutil.rmtree(run, ignore_errors=True)
        subprocess.run([program, "train", pictures, "--run", run, "--levels", "2", "--steps", "4",
                        "--hidden", "24", "--batch", "16", "--warmup-images", "320", "--scale",
                        {"published": "sigmoid2"}.get(scale, scale), "--updates", "150",
                        "--learning-rate", "5e-3", "--sample-every", "0", "--progress", "none",
                        "--precision", "f32"], check=True, env=trials.environment())
        (run / "checkpoints/last/model.safetensors").rename(models / f"{scale}.safetensors")
    return sorted(models.iterdir()), pictures


def main():
    args = trials.arguments(__doc__)
    program = args.build / "rheo"
    models, pictures = prepare(args, program)
    turns = [(kind, model) for kind in KINDS for model in models]
    number = args.first

    def trial(rng, folder, notes):
        nonlocal number
        kind, model = turns[number % len(turns)]
        number += 1
        kind(Bench(program, model, pictures, folder, rng, notes))

    sys.exit(trials.run(args, trial))


main()
