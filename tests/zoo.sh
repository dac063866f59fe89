#!/bin/sh
# The zoo's programs at a small share of their updates, on the moons and then also on images the size
# of the digits, and the pages of what they wrote: zoo.sh BUILD FOLDER PYTHON     (exit 77: no matplotlib)
set -eu
build=$1 folder=$2 python=$3
page=$(CDPATH= cd -- "$(dirname -- "$0")/../examples/generative_zoo" && pwd)/page.py
all="rbm vae gan fgan_kl fgan_reverse_kl fgan_pearson fgan_hellinger fgan_jensen_shannon fgan_gan nice realnvp
     glow maf"

# learn DATA SHARE: runs every program and looks for what it has to write.
learn() {
  for kind in rbm vae gan fgan flows; do "$build/zoo_$kind" "$folder" "$2"; done
  for model in $all; do
    for file in "$model-$1.json" "$model-$1-samples.npy" "$model-$1-curve.npy"; do
      test -s "$folder/$file" || { echo "no $file" >&2; exit 1; }
    done
  done
}

# has_pictures COUNT: makes the page, which has to hold so many and need no other file.
has_pictures() {
  "$python" -B "$page" "$folder"
  pictures=$(grep -c 'src="data:image/png;base64,' "$folder/index.html")
  test "$pictures" -eq "$1" || { echo "$pictures pictures on the page, not $1" >&2; exit 1; }
  if grep -q 'src="[^d]\|href=' "$folder/index.html"; then echo "the page needs other files" >&2; exit 1; fi
}

rm -rf "$folder"
learn moons 0.01
if "$build/zoo_rbm" "$folder" 2 2> "$folder/refused"; then echo "a share of 2 was taken" >&2; exit 1; fi
grep -q "^usage: .*zoo_rbm FOLDER \[SHARE" "$folder/refused"

"$python" -c "import matplotlib, PIL" || exit 77
# Samples; density; dynamics; the game and its discriminator; the six games; flows.
has_pictures 7

"$python" - "$folder" << 'END'
import sys

import numpy as np

random = np.random.default_rng(0)
for name, count in (("train", 60), ("test", 40)):
    np.save(f"{sys.argv[1]}/digits_{name}.npy", random.integers(0, 17, (count, 64), np.uint8))
END
learn digits 0.002
# Images too, and chains of the RBM and the VAE.
has_pictures 10
grep -q "exact density; lower bound of P.*&ge; -" "$folder/index.html"
