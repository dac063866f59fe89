"""Weights for glow.py: random ones, those of a checkpoint, and the check against golden cases."""

import json
import math
import pathlib

import torch
from safetensors import safe_open
from safetensors.torch import load_file

import glow

FIXED = ("invconv.sign", "invconv.permutation")
MODEL, GOLDEN = ".model.safetensors", ".golden.safetensors"
# Relative, of float32 against float64 over some dozen steps; a wrong formula is off by 1e-2 or more.
TOLERANCE = 1e-4


def level_channels(config, level):
    return config["channels"] * 4 << level


def trainable(value, name):
    return value.requires_grad_(name not in FIXED)


def permutation_matrices(permutations):
    return torch.eye(permutations.shape[-1], device=permutations.device)[permutations.long()]


def level_weights(config, level, value_of, device):
    """Stacked tensors of a level; value_of(name, shape) gives each from the checkpoint's name."""
    channels, p = level_channels(config, level), {}
    for name, shape in glow.step_shapes(config, channels).items():
        steps = [value_of(f"levels.{level}.steps.{k}.{name}", shape) for k in range(config["steps"])]
        p[name] = torch.stack(steps).to(device)
    p["invconv.permutation"] = permutation_matrices(p["invconv.permutation"])
    if level + 1 < config["levels"]:
        split = glow.conv_shapes(config, "split", (channels, 3, 3, channels // 2))
        p |= {name: value_of(f"levels.{level}.{name}", shape).to(device)
              for name, shape in split.items()}
    return {name: trainable(value, name) for name, value in p.items()}


def build(config, value_of, device, *how):
    """A Glow whose weights value_of(name, shape) gives; `how` is form, network and compile."""
    levels = [level_weights(config, l, value_of, device) for l in range(config["levels"])]
    top = (level_channels(config, config["levels"] - 1),)
    top = (config["classes"], *top) if config["classes"] else top
    prior = {name: trainable(value_of(name, top).to(device), name)
             for name in ("prior.mean", "prior.log_sd")}
    return glow.Glow(config, levels, prior, *how)


class Random:
    """Weights of a model early in training: nothing is zero that would be faster for it."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.rotation = {}

    def __call__(self, name, shape):
        if ".invconv." in name:
            prefix, part = name.rsplit(".", 1)
            if prefix not in self.rotation:
                self.rotation[prefix] = self.factors(shape[0])
            return self.rotation[prefix][part]
        if name.endswith(".weight"):
            small = name.endswith(("conv3.weight", "split.weight"))
            return self.normal(shape) * (1e-3 if small else 0.05)
        return self.normal(shape) * 1e-3

    def normal(self, shape):
        return torch.randn(shape, generator=self.generator)

    def factors(self, channels):
        rotation = torch.linalg.qr(self.normal((channels, channels)).double())[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        return {"permutation": permutation.argmax(dim=1), "lower": lower.float(),
                "upper": upper.float(), "sign": diagonal.sign().float(),
                "log_diagonal": diagonal.abs().log().float()}


def load(path, device, *how):
    """Of a checkpoint as docs/model.md has it. Refuses names and shapes that it does not know."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    if (metadata.get("format"), metadata.get("version")) != ("rheo", "1"):
        raise SystemExit(f"torch_glow: {path}: is no rheo checkpoint of version 1")
    config = glow.DEFAULTS | json.loads(metadata["config"])
    tensors = load_file(path)

    def value_of(name, shape):
        value = tensors.pop(name)
        if tuple(value.shape) != tuple(shape):
            raise SystemExit(f"torch_glow: {path}: {name} is {tuple(value.shape)}, not {shape}")
        return value

    model = build(config, value_of, device, *how)
    if tensors:
        raise SystemExit(f"torch_glow: {path}: {min(tensors)} is unknown")
    return model


def relative(got, want):
    """Largest difference, in units of the largest value wanted."""
    got, want = got.detach().double().cpu(), want.detach().double()
    return float((got - want).abs().max() / want.abs().max())


def gradient_of(model, name):
    """The gradient of the checkpoint's tensor `name`, and where it is stacked the step's."""
    parts = name.split(".")
    if parts[0] == "prior":
        return model.prior[name].grad
    level = model.levels[int(parts[1])]
    if parts[2] == "split":
        return level[".".join(parts[2:])].grad
    return level[".".join(parts[4:])].grad[int(parts[3])]


def errors(path, device, *how):
    """Of one golden case: of log p, latents, gradients and of decode(encode(x))."""
    golden = load_file(str(path).replace(MODEL, GOLDEN))
    model = load(path, device, *how)
    labels = golden["labels"].long().to(device)
    x = golden["x"].to(device, copy=True).requires_grad_()
    log_prob, latents = model.encode(x, labels)
    (-log_prob.mean()).backward()
    grad = max(relative(gradient_of(model, name.removeprefix("grad.")), want)
               for name, want in golden.items() if name.startswith("grad.") and name != "grad.x")
    with torch.no_grad():
        back = model.decode(latents.detach(), model.inverse_weights(), labels)
    return {"log p": relative(log_prob, golden["log_prob"]),
            "latents": relative(latents, golden["latents"]),
            "grad x": relative(x.grad, golden["grad.x"]),
            "gradients": grad,
            "x back": relative(back, golden["x"])}


def check(paths, device, *how):
    """Prints the errors of golden cases, of files or folders; whether all are within bounds."""
    files = [file for path in map(pathlib.Path, paths)
             for file in (sorted(path.glob("*" + MODEL)) if path.is_dir() else [path])]
    if not files:
        raise SystemExit(f"torch_glow: no *{MODEL} in {' '.join(map(str, paths))}")
    good = True
    for file in files:
        found = errors(file, device, *how)
        good &= all(math.isfinite(e) and e <= TOLERANCE for e in found.values())
        shown = ", ".join(f"{what} {error:.1e}" for what, error in found.items())
        print(f"{file.name.removesuffix(MODEL)} ({how[0]}): {shown}", flush=True)
    return good
