#!/usr/bin/env bash
# Runs the README's program on a small data set and looks at what it wrote.
# Usage: readme.sh <program> <python with numpy> <folder to overwrite>
set -euo pipefail
program=$1 python=$2 folder=$3
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
"$python" - <<'PYTHON'
import numpy

values = numpy.random.default_rng(1).integers(0, 256, (96, 28, 28, 1), dtype=numpy.uint8)
numpy.save("data.npy", values)
PYTHON
"$program" data.npy 3 >losses.txt
[[ $(grep -cE '^[0-9.]+ bits/dim$' losses.txt) -eq 3 ]]
"$python" - <<'PYTHON'
import json, struct

png = open("samples.png", "rb").read()
assert png[:8] == b"\x89PNG\r\n\x1a\n", "samples.png is no PNG"
assert struct.unpack(">II", png[16:24]) == (4 * 32 + 3 * 2,) * 2, "sixteen images on a 4 x 4 sheet"
model = open("glow.safetensors", "rb").read()
header = json.loads(model[8 : 8 + struct.unpack("<Q", model[:8])[0]])
assert header["__metadata__"]["format"] == "rheo"
PYTHON
