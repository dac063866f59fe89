"""Reads a checkpoint that rheo wrote with Python's safetensors, and writes it anew for rheo to read.

    check_interop.py MODEL.safetensors REWRITTEN.safetensors      (needs: safetensors numpy)
"""

import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

# What says of a file that rheo wrote it, and that it is as rheo wrote it.
OF_THE_WRITER = ("rheo", "xxh3_128")


def conv(name, weight, edge=False):
    """A convolution's tensors; `weight` is [out, 3, 3, in] or [out, in]."""
    out = weight[0]
    shapes = {"weight": weight, "bias": (out,), "log_scale": (out,)}
    if edge:
        shapes["edge"] = (out, 3, 3)
    return {f"{name}.{key}": shape for key, shape in shapes.items()}


def expected_shapes(config):
    shapes, hidden, edge = {}, config["hidden"], config.get("edge_bias", False)
    for level in range(config["levels"]):
        c = config["channels"] * 4 * 2**level
        moved = c if config["coupling"] == "affine" else c // 2
        for step in range(config["steps"]):
            name = f"levels.{level}.steps.{step}"
            for key in ("actnorm.bias", "actnorm.log_scale", "invconv.log_diagonal",
                        "invconv.sign", "invconv.permutation"):
                shapes[f"{name}.{key}"] = (c,)
            for key in ("invconv.lower", "invconv.upper"):
                shapes[f"{name}.{key}"] = (c, c)
            shapes |= conv(f"{name}.coupling.conv1", (hidden, 3, 3, c // 2), edge)
            shapes |= conv(f"{name}.coupling.conv2", (hidden, hidden))
            shapes |= conv(f"{name}.coupling.conv3", (moved, 3, 3, hidden), edge)
        if level + 1 < config["levels"]:
            shapes |= conv(f"levels.{level}.split", (c, 3, 3, c // 2), edge)
    for key in ("prior.mean", "prior.log_sd"):
        shapes[key] = (config["classes"], c) if config["classes"] else (c,)
    return shapes


def problems(metadata, tensors):
    if (metadata.get("format"), metadata.get("version")) != ("rheo", "1"):
        yield f"metadata is {metadata}"
    for key in OF_THE_WRITER:
        if key not in metadata:
            yield f"metadata has no {key}"
    shapes = expected_shapes(json.loads(metadata["config"]))
    for name in sorted(shapes.keys() ^ tensors.keys()):
        yield f"{name} is {'missing' if name in shapes else 'unknown'}"
    for name in sorted(shapes.keys() & tensors.keys()):
        value, permutation = tensors[name], name.endswith(".permutation")
        if value.shape != shapes[name] or value.dtype != (np.int32 if permutation else np.float32):
            yield f"{name} is {value.dtype} {value.shape}, not {shapes[name]}"
        elif permutation and sorted(value) != list(range(value.size)):
            yield f"{name} is no permutation: {value}"
        elif name.endswith(".sign") and not (abs(value) == 1).all():
            yield f"{name} is not of signs: {value}"
        elif not np.isfinite(value).all():
            yield f"{name} is not finite"


def main(model, rewritten):
    with safe_open(model, "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    found = list(problems(metadata, tensors))
    if found:
        sys.exit("\n".join(f"{model}: {problem}" for problem in found))
    save_file(tensors, rewritten,
              {key: value for key, value in metadata.items() if key not in OF_THE_WRITER})
    print(f"{model}: {len(tensors)} tensors, written anew to {rewritten}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
