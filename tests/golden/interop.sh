#!/usr/bin/env bash
# A checkpoint that rheo wrote goes through Python's safetensors and is still one for rheo.
# Usage: interop.sh PROGRAM PYTHON SCRATCH     (exits with 77 where PYTHON lacks what it needs)
set -euo pipefail
program=$(realpath "$1") python=$2 scratch=$3
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")

if ! "$python" -c 'import numpy, safetensors.numpy'; then
  echo "interop: $python has no numpy and safetensors; set RHEO_TEST_PYTHON to one that has" >&2
  exit 77
fi

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
"$python" -c 'import numpy as np; np.save("images", np.random.default_rng(0).integers(
    0, 256, (16, 8, 8, 3), dtype=np.uint8)); np.save("labels", np.arange(16) % 3)'
tiny=(--levels 2 --steps 2 --hidden 8 --updates 2 --batch 8 --init-images 8 --samples 4)
"$program" train images.npy --run plain "${tiny[@]}"
"$program" train images.npy --run full "${tiny[@]}" --edge-bias --scale bounded \
  --labels labels.npy --conditional

declare -A labels=([plain]= [full]="--labels labels.npy")
# All but the file's name and what the machine has free.
without_memory() { tail -n +2 | sed -E '/^  memory/d; /^ +(sampling|full|state|invert) /d'; }

for run in plain full; do
  model=$run/checkpoints/last/model.safetensors
  "$python" "$here/check_interop.py" "$model" "$run-rewritten.safetensors"
  "$program" info --tensors "$run-rewritten.safetensors" | without_memory >rewritten
  "$program" info --tensors "$model" | without_memory >written
  diff written rewritten
  # shellcheck disable=SC2086  # labels are words
  for file in "$model" "$run-rewritten.safetensors"; do
    "$program" score --model "$file" --input images.npy ${labels[$run]} --output "${file##*/}.npy"
  done
  cmp model.safetensors.npy "$run-rewritten.safetensors.npy"
  # Without the content hash of the writer there is none to tell; with it, the file would be refused.
  "$program" verify "$run-rewritten.safetensors"
done
