"""The files of a golden case and what is done with them, whatever program the numbers are from.

NAME.model.safetensors is a checkpoint. NAME.golden.safetensors holds x [N, H, W, C], of vectors
[N, D] (F32), labels [N] (I32, zeros without classes), and in F64 log_prob [N], latents [N, D], grad.x
and grad.PARAMETER, the gradients of -mean(log_prob); its metadata `loss` is that mean.
"""

import argparse
import json
import pathlib
import sys
import zlib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

TOLERANCE = 1e-9  # relative; two float64 programs differ by the order of their sums only


def drawing(name):
    """draw(shape, deviation): normal numbers that are the same whenever the case of this name is made."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return lambda shape, deviation: rng.standard_normal(shape) * deviation


def stored(p):
    """Parameters as a checkpoint has them."""
    return {key: value.astype(np.float32) if value.dtype == np.float64 else value
            for key, value in p.items()}


def write(path, tensors, metadata):
    """A safetensors file whose bytes depend on its contents alone: the header's keys sorted."""
    data = save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(dict(sorted(header.items())), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:])


def write_case(folder, name, config, p, x, labels, results):
    text = json.dumps(config, separators=(",", ":"))
    write(folder / f"{name}.model.safetensors", p, dict(format="rheo", version="1", config=text))
    write(folder / f"{name}.golden.safetensors",
          {"x": x, "labels": labels, **{key: np.asarray(value) for key, value in results.items()}},
          dict(loss=repr(-float(results["log_prob"].mean()))))


def read(path):
    with safe_open(path, "np") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}


def largest_error(model_path, evaluate):
    """The largest relative error of a case: of each tensor, max |difference| / max |value|."""
    metadata, p = read(model_path)
    case_metadata, case = read(str(model_path).replace(".model.", ".golden."))
    results = evaluate(json.loads(metadata["config"]), p, case.pop("x"), case.pop("labels"))
    if set(results) != set(case):
        sys.exit(f"{model_path}: other tensors: {set(results) ^ set(case)}")
    errors = {"loss": abs(1 + float(results["log_prob"].mean()) / float(case_metadata["loss"]))}
    for key, value in results.items():
        value = np.asarray(value)
        if value.shape != case[key].shape or case[key].dtype != np.float64:
            sys.exit(f"{model_path}: {key} is {case[key].dtype} {case[key].shape}")
        errors[key] = abs(value - case[key]).max() / max(abs(case[key]).max(), 1e-300)
    worst = max(errors, key=errors.get)
    print(f"{model_path.name}: " + ", ".join(
        f"{key} {errors[key]:.1e}" for key in ("log_prob", "latents", "grad.x", worst)))
    return errors[worst]


def main(description, names, generate, evaluate):
    """generate(name) writes a case; evaluate(config, p, x, labels) gives its tensors by their names."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--check", metavar="FOLDER", type=pathlib.Path)
    folder = parser.parse_args().check
    if folder is None:
        for name in names:
            generate(name)
        return
    models = sorted(folder.glob("*.model.safetensors"))
    if not models or not max(largest_error(path, evaluate) for path in models) < TOLERANCE:
        sys.exit(f"{folder}: no case, or one that differs by {TOLERANCE} or more")
