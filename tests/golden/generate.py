"""The golden cases: small models with random parameters, and what glow.py makes of them.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install jax safetensors numpy
    /tmp/venv/bin/python tests/golden/generate.py                  # rewrites tests/golden/*.safetensors
    /tmp/venv/bin/python tests/golden/generate.py --check FOLDER   # recomputes the cases of FOLDER

case_files.py says what is in the files.
"""

import pathlib
import sys

import numpy as np

import case_files
import glow

HERE = pathlib.Path(__file__).resolve().parent

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
    draw = case_files.drawing(name)
    p = make_parameters(draw, config)
    add_extremes(name, p)
    labels = (np.arange(count) * 2 + 2) % max(config["classes"], 1)
    return config, case_files.stored(p), make_images(draw, config, count), labels.astype(np.int32)


def generate(name):
    config, p, x, labels = make_case(name)
    results = glow.evaluate(config, p, x, labels)
    brute = glow.log_prob_by_jacobian(config, p, x[:1], labels[:1])
    log_prob = float(results["log_prob"][0])
    if not abs(log_prob - brute) < case_files.TOLERANCE * abs(brute):
        sys.exit(f"{name}: log_prob is {log_prob}, by the dense Jacobian {brute}")
    case_files.write_case(HERE, name, config, p, x, labels, results)
    print(f"{name}: log_prob {np.asarray(results['log_prob'])}, "
          f"largest latent {float(abs(results['latents']).max()):.3g}")


if __name__ == "__main__":
    case_files.main(__doc__, CASES, generate, glow.evaluate)
