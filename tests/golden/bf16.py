"""What bf16 alone does to the log p of golden cases: python tests/golden/bf16.py FOLDER

The float64 program of family_flows.py once as it is and once with nothing but the inputs, folded
weights and activations of the coupling networks rounded to bf16, as rheo's networks have them; every
sum stays float64. Prints the largest relative error of each case's log p. Environment as family.py.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

import case_files
import family_flows


def rounded(values):
    return values.to(torch.bfloat16).to(torch.float64)


def folded(p, name, factor=1):
    """Weight, edge and bias times the scale behind them. Behind conv3 bias and edge are float32."""
    scale = torch.exp(factor * p[name + "log_scale"])
    last = factor != 1
    weight = p[name + "weight"]
    parts = {name + "weight": rounded(weight * scale.reshape(-1, *[1] * (weight.dim() - 1)))}
    if name + "edge" in p:
        edge = p[name + "edge"] * scale[:, None, None]
        parts[name + "edge"] = edge if last else rounded(edge)
    bias = p[name + "bias"] * scale
    return parts, (bias if last else rounded(bias))[:, None, None]


def bf16_network(p, name):
    names = [f"{name}conv{i}." for i in (1, 2, 3)]
    (p1, b1), (p2, b2), (p3, b3) = (folded(p, n, f) for n, f in zip(names, (1, 1, 3)))

    def network(a):
        h = rounded(F.relu(family_flows.conv3x3(rounded(a), p1, names[0]) + b1))
        weight = p2[names[1] + "weight"][:, :, None, None]
        h = rounded(F.relu(F.conv2d(h, weight) + b2))
        return family_flows.conv3x3(h, p3, names[2]) + b3
    return family_flows.Called(network)


def error(network, model_path):
    metadata, p = case_files.read(model_path)
    _, golden = case_files.read(str(model_path).replace(".model.", ".golden."))
    p = {key: torch.tensor(value if value.dtype == np.int32 else value.astype(np.float64))
         for key, value in p.items()}
    family_flows.network = network
    log_prob, _ = family_flows.encode(json.loads(metadata["config"]), p,
                                      torch.tensor(golden["x"].astype(np.float64)),
                                      torch.tensor(golden["labels"]))
    return np.max(abs(log_prob.numpy() / golden["log_prob"] - 1))


def main():
    plain = family_flows.network
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.model.safetensors")):
        print(f"{path.name:40} float64 {error(plain, path):.1e}  bf16 {error(bf16_network, path):.1e}")


if __name__ == "__main__":
    main()
