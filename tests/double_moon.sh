#!/bin/sh
# The example learns the double moon: a likelihood that the eye would take for right, and all files.
# It gets to -1.185 nats a point; other seeds, and the roundings of other processors, end between -1.20
# and -1.17, and a flow that has not parted the moons stays below -1.3.
set -eu
"$1" "$2" | tee "$2.log"
for file in train.npy test.npy metrics.jsonl checkpoints/last/model.safetensors; do
  test -s "$2/$file" || { echo "no $file" >&2; exit 1; }
done
awk '/^test log-likelihood/ { found = 1; exit !($3 > -1.21 && $3 < -1.0) } END { if (!found) exit 1 }' "$2.log"
