#!/bin/sh
# The example learns the double moon: a likelihood that the eye would take for right, and all files.
# PyTorch with the same model and number of updates gets to -1.174 +- 0.006 nats a point; a flow that
# has not parted the moons stays below -1.3. Another instruction set rounds to another optimum.
set -eu
"$1" "$2" | tee "$2.log"
for file in train.npy test.npy metrics.jsonl checkpoints/last/model.safetensors; do
  test -s "$2/$file" || { echo "no $file" >&2; exit 1; }
done
awk '/^test log-likelihood/ { found = 1; exit !($3 > -1.25 && $3 < -1.0) } END { if (!found) exit 1 }' "$2.log"
