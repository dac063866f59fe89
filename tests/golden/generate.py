"""The golden cases: small models with random parameters, and what glow.py makes of them.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install jax safetensors numpy
    /tmp/venv/bin/python tests/golden/generate.py                  # rewrites tests/golden/*.safetensors
    /tmp/venv/bin/python tests/golden/generate.py --check FOLDER   # recomputes the cases of FOLDER

NAME.model.safetensors is a checkpoint. NAME.golden.safetensors holds x [N, H, W, C] (F32), labels
[N] (I32, zeros without classes), and in F64 log_prob [N], latents [N, D], grad.x and grad.PARAMETER,
the gradients of -mean(log_prob); its metadata `loss` is that mean.
"""

import argparse
import json
import pathlib
import sys
import zlib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

import glow

HERE = pathlib.Path(__file__).resolve().parent
TOLERANCE = 1e-9  # relative; two float64 programs differ by the order of their sums only

CASES = {  # config beyond the defaults, images
    # Not square, odd sizes after the squeezes, hidden no multiple of 16.
    "plain": (dict(height=12, width=20, levels=2, steps=2, hidden=10), 2),
    "bounded": (dict(height=16, width=8, levels=3, steps=2, hidden=12, edge_bias=True,
                     scale="bounded"), 3),
    "additive_gray": (dict(height=8, width=12, channels=1, levels=2, steps=3, hidden=20,
                           coupling="additive", n_bits=5), 3),
    "classes_rgba": (dict(height=6, width=10, channels=4, levels=1, steps=2, hidden=14, classes=3,
                          edge_bias=True), 5),
    "two_channels_deep": (dict(height=8, width=4, channels=2, levels=2, steps=6, hidden=18), 2),
    # One pixel after the squeeze: eight of nine taps are padding.
    "single": (dict(height=2, width=2, levels=1, steps=2, hidden=9, coupling="additive",
                    edge_bias=True, scale="bounded"), 1),
}
REQUIRED = dict(model="glow", channels=3, coupling="affine", classes=0)


def step_parameters(draw, config, name, channels):
    """One flow step. Scales keep every activation near 1 and every part of the step in play."""
    hidden, half = config["hidden"], channels // 2
    out = half if config["coupling"] == "additive" else channels
    # exp((4/pi) atan(raw)) moves with raw ten times as much as sigmoid(raw + 2) does.
    last_gain = 0.2 if config.get("scale") == "bounded" else 0.7
    convs = {"conv1": (hidden, (hidden, 3, 3, half), 1.0, 0.3),
             "conv2": (hidden, (hidden, hidden), 1.0, 0.3),
             "conv3": (out, (out, 3, 3, hidden), last_gain, 0.1)}
    p = {"actnorm.bias": draw((channels,), 0.3), "actnorm.log_scale": draw((channels,), 0.2),
         # The triangles that count for nothing are filled too: a reader must ignore them.
         "invconv.lower": draw((channels, channels), 0.4 / channels**0.5),
         "invconv.upper": draw((channels, channels), 0.4 / channels**0.5),
         "invconv.log_diagonal": draw((channels,), 0.2),
         "invconv.sign": np.where(draw((channels,), 1) < 0, -1.0, 1.0),
         "invconv.permutation": np.argsort(draw((channels,), 1)).astype(np.int32)}
    for conv, (rows, shape, gain, spread) in convs.items():
        p[f"coupling.{conv}.weight"] = draw(shape, gain / np.prod(shape[1:])**0.5)
        p[f"coupling.{conv}.bias"] = draw((rows,), 0.3 * gain)
        p[f"coupling.{conv}.log_scale"] = draw((rows,), spread)
        if config.get("edge_bias") and conv != "conv2":
            p[f"coupling.{conv}.edge"] = draw((rows, 3, 3), 0.3 * gain)
    return {name + key: value for key, value in p.items()}


def make_parameters(draw, config):
    p = {}
    for level in range(config["levels"]):
        channels = config["channels"] * 4 * 2**level
        for step in range(config["steps"]):
            p.update(step_parameters(draw, config, f"levels.{level}.steps.{step}.", channels))
        if level + 1 < config["levels"]:
            name = f"levels.{level}.split."
            p[name + "weight"] = draw((channels, 3, 3, channels // 2), 0.3 / (4.5 * channels)**0.5)
            p[name + "bias"] = draw((channels,), 0.2)
            p[name + "log_scale"] = draw((channels,), 0.1)
            if config.get("edge_bias"):
                p[name + "edge"] = draw((channels, 3, 3), 0.1)
    shape = (config["classes"], channels) if config["classes"] else (channels,)
    p["prior.mean"] = draw(shape, 0.5)
    p["prior.log_sd"] = draw(shape, 0.3)
    return p


def add_extremes(name, p):
    """Biases that drive `raw`, and log_sd, where a careless formula over- or underflows."""
    if name == "plain":  # exp(122) is no float32; s = exp(-3) still inverts in float32
        p["levels.0.steps.1.coupling.conv3.bias"][-3:] = 120, -5, 25
    if name == "bounded":  # atan saturates, as does tanh
        p["levels.2.steps.1.coupling.conv3.bias"][-3:] = 3000, -3000, 40
        p["prior.log_sd"][:3] = 60, -1.5, 8


def make_images(draw, config, count):
    """x = (q + k / 2^16) / 2^n_bits - 1/2, black and white included."""
    top = 2**config.get("n_bits", 8) - 1
    shape = (count, config["height"], config["width"], config["channels"])
    q = np.clip(np.floor((draw(shape, 0.4) + 0.5) * (top + 1)), 0, top)
    k = np.floor(np.abs(draw(shape, 1)) % 1 * 2**16)
    return ((q + k / 2**16) / (top + 1) - 0.5).astype(np.float32)


def make_case(name):
    extra, count = CASES[name]
    config = {**REQUIRED, **extra}
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))

    def draw(shape, deviation):
        return rng.standard_normal(shape) * deviation

    p = make_parameters(draw, config)
    add_extremes(name, p)
    p = {key: value.astype(np.float32) if value.dtype == np.float64 else value
         for key, value in p.items()}
    labels = (np.arange(count) * 2 + 2) % max(config["classes"], 1)
    return config, p, make_images(draw, config, count), labels.astype(np.int32)


def write(path, tensors, metadata):
    """A safetensors file whose bytes depend on its contents alone: the header's keys sorted."""
    data = save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(dict(sorted(header.items())), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:])


def generate(name):
    config, p, x, labels = make_case(name)
    results = glow.evaluate(config, p, x, labels)
    brute = glow.log_prob_by_jacobian(config, p, x[:1], labels[:1])
    log_prob = float(results["log_prob"][0])
    if not abs(log_prob - brute) < TOLERANCE * abs(brute):
        sys.exit(f"{name}: log_prob is {log_prob}, by the dense Jacobian {brute}")
    text = json.dumps(config, separators=(",", ":"))
    write(HERE / f"{name}.model.safetensors", p, dict(format="rheo", version="1", config=text))
    write(HERE / f"{name}.golden.safetensors",
          {"x": x, "labels": labels, **{key: np.asarray(value) for key, value in results.items()}},
          dict(loss=repr(-float(results["log_prob"].mean()))))
    print(f"{name}: log_prob {np.asarray(results['log_prob'])}, "
          f"largest latent {float(abs(results['latents']).max()):.3g}")


def read(path):
    with safe_open(path, "np") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}


def check(model_path):
    """The largest relative error of a case: of each tensor, max |difference| / max |value|."""
    metadata, p = read(model_path)
    stored_metadata, stored = read(str(model_path).replace(".model.", ".golden."))
    results = glow.evaluate(json.loads(metadata["config"]), p, stored["x"], stored["labels"])
    if set(results) != set(stored) - {"x", "labels"}:
        sys.exit(f"{model_path}: other tensors: {set(results) ^ (set(stored) - {'x', 'labels'})}")
    errors = {"loss": abs(1 + float(results["log_prob"].mean()) / float(stored_metadata["loss"]))}
    for key, value in results.items():
        value = np.asarray(value)
        if value.shape != stored[key].shape or stored[key].dtype != np.float64:
            sys.exit(f"{model_path}: {key} is {stored[key].dtype} {stored[key].shape}")
        errors[key] = abs(value - stored[key]).max() / max(abs(stored[key]).max(), 1e-300)
    worst = max(errors, key=errors.get)
    print(f"{model_path.name}: " + ", ".join(
        f"{key} {errors[key]:.1e}" for key in ("log_prob", "latents", "grad.x", worst)))
    return errors[worst]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", metavar="FOLDER", type=pathlib.Path)
    folder = parser.parse_args().check
    if folder is None:
        for name in CASES:
            generate(name)
        return
    models = sorted(folder.glob("*.model.safetensors"))
    if not models or not max(map(check, models)) < TOLERANCE:
        sys.exit(f"{folder}: no case, or one that differs by {TOLERANCE} or more")


if __name__ == "__main__":
    main()
