"""The golden cases of RealNVP, NICE, MAF, IAF and of Glow's variants, from published libraries.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install -r tests/golden/family_requirements.txt
    /tmp/venv/bin/python tests/golden/family.py                  # rewrites tests/golden/family/
    /tmp/venv/bin/python tests/golden/family.py --check FOLDER   # recomputes the cases of FOLDER

family_flows.py has the models. Before a case is written, its log p is compared with log|det| of the
encoder's dense Jacobian, its gradients with differences, vectors with what their latents decode to,
MAF and IAF with another library, zuko. `--check tests/golden` holds the parts of Glow against JAX.
case_files.py says what is in the files.
"""

import math
import pathlib
import sys

import numpy as np
import torch

import case_files
import family_flows
from case_files import TOLERANCE

FOLDER = pathlib.Path(__file__).resolve().parent / "family"
DIFFERENCE_TOLERANCE = 1e-6  # steps of 1e-6 leave some 1e-10 of rounding and 1e-12 of curvature

VECTOR = dict(coupling="affine", scale="tanh", permutation="reverse", classes=0, prior="gaussian")
NICE = dict({key: VECTOR[key] for key in VECTOR if key != "scale"}, model="nice",
            coupling="additive")
AUTOREGRESSIVE = {key: VECTOR[key] for key in ("permutation", "classes", "prior")}
IMAGE = dict(VECTOR, n_bits=8, edge_bias=False)
GLOW = {key: IMAGE[key] for key in IMAGE if key != "prior"}
CASES = {  # what the checkpoint's config says, number of vectors or images
    "realnvp_2d": (dict(VECTOR, model="realnvp", dims=2, steps=4, hidden=32), 8),
    "realnvp_odd": (dict(VECTOR, model="realnvp", dims=5, steps=4, hidden=16,
                         permutation="shuffle"), 7),
    "realnvp_lu_bounded": (dict(VECTOR, model="realnvp", dims=4, steps=3, hidden=12,
                                permutation="lu", scale="bounded"), 6),
    "nice_gaussian": (dict(NICE, dims=6, steps=3, hidden=12), 6),
    "nice_logistic": (dict(NICE, dims=3, steps=3, hidden=11, prior="logistic"), 8),
    "maf_2d": (dict(AUTOREGRESSIVE, model="maf", dims=2, steps=3, hidden=9), 8),
    "maf_5d": (dict(AUTOREGRESSIVE, model="maf", dims=5, steps=3, hidden=7,
                    permutation="shuffle"), 5),
    "maf_logistic_1d": (dict(AUTOREGRESSIVE, model="maf", dims=1, steps=2, hidden=6,
                             prior="logistic"), 6),
    "iaf_4d": (dict(AUTOREGRESSIVE, model="iaf", dims=4, steps=3, hidden=10), 6),
    "iaf_2d": (dict(AUTOREGRESSIVE, model="iaf", dims=2, steps=3, hidden=9), 8),
    "realnvp_image": (dict(IMAGE, model="realnvp", height=8, width=8, channels=3, levels=2, steps=2,
                           hidden=6, permutation="shuffle"), 4),
    "realnvp_image_edge": (dict(IMAGE, model="realnvp", height=8, width=4, channels=1, levels=1,
                                steps=3, hidden=6, coupling="additive", permutation="shuffle",
                                edge_bias=True), 4),
    "glow_reverse": (dict(GLOW, model="glow", height=8, width=8, channels=1, levels=2, steps=2,
                          hidden=6, scale="sigmoid2"), 4),
    "glow_tanh": (dict(GLOW, model="glow", height=8, width=4, channels=1, levels=2, steps=2,
                       hidden=5, permutation="lu"), 4),
}
KEYS = ("model", "dims", "height", "width", "channels", "levels", "steps", "hidden", "coupling",
        "scale", "permutation", "classes", "n_bits", "edge_bias", "prior")  # as rheo orders them


def draw_network(draw, name, shapes, gain):
    """Of a coupling or a MADE network. `shapes` by layer; the last layer's size is `gain`."""
    p = {}
    for i, (layer, shape) in enumerate(shapes.items()):
        size = gain if i == 2 else 1
        p[f"{name}{layer}.weight"] = draw(shape, size / math.prod(shape[1:])**0.5)
        p[f"{name}{layer}.bias"] = draw(shape[:1], 0.3 * size)
    return p


def draw_permutation(draw, config, step, channels):
    if config["permutation"] == "lu":
        matrix = (channels, channels)
        # The triangles that count for nothing are filled too: a reader must ignore them.
        return {"invconv.lower": draw(matrix, 0.4 / channels**0.5),
                "invconv.upper": draw(matrix, 0.4 / channels**0.5),
                "invconv.log_diagonal": draw((channels,), 0.2),
                "invconv.sign": np.where(draw((channels,), 1) < 0, -1.0, 1.0),
                "invconv.permutation": np.argsort(draw((channels,), 1)).astype(np.int32)}
    order = np.arange(channels)
    if config["permutation"] == "shuffle":
        order = np.argsort(draw((channels,), 1))
    elif step > 0 or config["model"] == "glow":
        order = order[::-1]
    return {"permutation": order.astype(np.int32)}


def draw_step(draw, config, step, channels):
    p, hidden = draw_permutation(draw, config, step, channels), config["hidden"]
    if config["model"] in ("maf", "iaf"):  # what the masks hide is filled too
        layers = dict(linear1=(hidden, channels), linear2=(hidden, hidden),
                      linear3=(2 * channels, hidden))
        return p | draw_network(draw, "made.", layers, 0.6)
    additive, passed = config["coupling"] == "additive", (channels + 1) // 2
    out = (channels - passed) * (1 if additive else 2)
    # exp((4/pi) atan(raw)) moves with raw more than the others do.
    gain = 0.2 if config.get("scale") == "bounded" else 0.7
    if "dims" in config:
        layers = dict(linear1=(hidden, passed), linear2=(hidden, hidden), linear3=(out, hidden))
    else:
        layers = dict(conv1=(hidden, 3, 3, passed), conv2=(hidden, hidden),
                      conv3=(out, 3, 3, hidden))
        p["actnorm.bias"] = draw((channels,), 0.3)
        p["actnorm.log_scale"] = draw((channels,), 0.2)
    p |= draw_network(draw, "coupling.", layers, gain)
    for layer, shape in layers.items():
        if layer[:4] == "conv":
            p[f"coupling.{layer}.log_scale"] = draw(shape[:1], 0.1)
            if config["edge_bias"] and layer != "conv2":
                p[f"coupling.{layer}.edge"] = draw((shape[0], 3, 3), 0.3)
    if config.get("scale") == "tanh" and not additive:
        p["coupling.gain"] = 0.8 + draw((1,), 0.3)
    return p


def draw_parameters(draw, config):
    p, vector = {}, "dims" in config
    for level in range(1 if vector else config["levels"]):
        channels = config["dims"] if vector else config["channels"] * 4 * 2**level
        for step in range(config["steps"]):
            name = f"steps.{step}." if vector else f"levels.{level}.steps.{step}."
            for key, value in draw_step(draw, config, step, channels).items():
                p[name + key] = value
        if config["model"] == "glow" and level + 1 < config["levels"]:
            name, shape = f"levels.{level}.split.", (channels, 3, 3, channels // 2)
            p[name + "weight"] = draw(shape, 0.3 / math.prod(shape[1:])**0.5)
            p[name + "bias"], p[name + "log_scale"] = draw((channels,), 0.2), draw((channels,), 0.1)
    if config["model"] == "glow":
        p["prior.mean"] = draw((channels,), 0.5)
    if config["model"] in ("glow", "nice"):
        p["prior.log_sd"] = draw((channels,), 0.3)
    return p


def make_case(name):
    extra, count = CASES[name]
    config = {key: extra[key] for key in KEYS if key in extra}
    draw = case_files.drawing(name)
    p = draw_parameters(draw, config)
    if name == "realnvp_odd":  # tanh saturates
        p["steps.1.coupling.linear3.bias"][2:] = 40, -40
    p = case_files.stored(p)
    if "dims" in config:
        return config, p, draw((count, config["dims"]), 1).astype(np.float32)
    x = draw((count, config["height"], config["width"], config["channels"]), 0.25)
    return config, p, np.clip(x, -0.5, 0.5).astype(np.float32)


def widened(parameters):
    """The float32 values as float64; permutations stay integers."""
    return {key: torch.from_numpy(value).double() if value.dtype.kind == "f"
            else torch.from_numpy(value) for key, value in parameters.items()}


def trainable(p):
    return [key for key in p if key.rsplit(".", 1)[-1] not in ("permutation", "sign")]


def evaluate(config, parameters, x, labels):
    """log_prob, latents, and the gradients of -mean(log_prob) as "grad.NAME"."""
    leaves = widened({**parameters, "x": x})
    free = trainable(leaves)
    for key in free:
        leaves[key].requires_grad_()
    p = {key: value for key, value in leaves.items() if key != "x"}
    log_prob, latents = family_flows.encode(config, p, leaves["x"], torch.from_numpy(labels).long())
    grads = torch.autograd.grad(-log_prob.mean(), [leaves[key] for key in free])
    results = {"log_prob": log_prob.detach(), "latents": latents.detach(),
               **{"grad." + key: grad for key, grad in zip(free, grads)}}
    return {key: value.numpy() for key, value in results.items()}


# What each case is compared with: functions of (config, p, x, results) that return an error.

def jacobian_error(config, p, x, results):
    """Of log_prob, from log|det| of each encoder's dense Jacobian and its latents."""
    def latents_of(values):
        return family_flows.encode(config, p, values[None], None)[1][0]

    worst = 0.0
    for one, log_prob in zip(x, results["log_prob"]):
        jacobian = torch.autograd.functional.jacobian(latents_of, one).reshape(one.numel(), -1)
        eps = latents_of(one)[None]
        brute = torch.linalg.slogdet(jacobian)[1] + family_flows.base_log_prob(config, eps)[0]
        worst = max(worst, abs(float(brute) / log_prob - 1))
    return worst


def difference_error(config, p, x, results):
    """Of the gradients, along one random direction of everything they are taken of."""
    generator, leaves = torch.Generator().manual_seed(0), {**p, "x": x}
    ways = {key: torch.randn(leaves[key].shape, generator=generator, dtype=torch.float64)
            for key in trainable(leaves)}

    def loss(step):
        moved = {**leaves, **{key: leaves[key] + step * way for key, way in ways.items()}}
        return -float(family_flows.encode(config, moved, moved["x"], None)[0].mean())

    slope = sum(float((ways[key] * torch.from_numpy(results["grad." + key])).sum()) for key in ways)
    return abs((loss(1e-6) - loss(-1e-6)) / 2e-6 / slope - 1)


def decode_error(config, p, x, results):
    back = family_flows.decode(config, p, torch.from_numpy(results["latents"]))
    return float(abs(back - x).max())


def zuko_error(config, p, x, results):
    log_prob, latents = (value.numpy() for value in family_flows.zuko_encode(config, p, x))
    return max(abs(log_prob / results["log_prob"] - 1).max(),
               abs(latents - results["latents"]).max())


def compare(name, config, p, x, results):
    checks = {"dense Jacobian": (jacobian_error, TOLERANCE),
              "differences": (difference_error, DIFFERENCE_TOLERANCE)}
    if "dims" in config:
        checks["decoded"] = (decode_error, TOLERANCE)
    if config["model"] in ("maf", "iaf") and config["dims"] > 1:  # zuko has no mask of nothing
        checks["zuko"] = (zuko_error, TOLERANCE)
    p, x = widened(p), torch.from_numpy(x).double()
    errors = {what: error(config, p, x, results) for what, (error, _) in checks.items()}
    print(f"{name}: " + ", ".join(f"{what} {error:.1e}" for what, error in errors.items()))
    for what, error in errors.items():
        if not error < checks[what][1]:
            sys.exit(f"{name}: {what}: {error} is not below {checks[what][1]}")


def generate(name):
    config, p, x = make_case(name)
    labels = np.zeros(len(x), np.int32)
    results = evaluate(config, p, x, labels)
    compare(name, config, p, x, results)
    case_files.write_case(FOLDER, name, config, p, x, labels, results)


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of every sum
    case_files.main(__doc__, CASES, generate, evaluate)
