"""Files for the check of bench/compare: what both sides take in.

    check_files.py images FOLDER    images.npy (uint8) and x.npy (dequantised float32)
    check_files.py stir MODEL       adds noise to what so few updates left near zero
"""

import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

# What says of a file that rheo wrote it, and that it is as rheo wrote it.
OF_THE_WRITER = ("rheo", "xxh3_128")
NOISE = 0.02  # enough that each factor left out moves log p by 6e-5 and more


def images(folder):
    """Ramps of a colour with noise, in a different brightness each."""
    random, ramp = numpy.random.default_rng(1), numpy.linspace(0, 200, 32)[None, :, None, None]
    pixels = ramp * random.random((64, 1, 1, 3)) + 55 * random.random((64, 32, 32, 3))
    pixels = pixels.astype("uint8")
    numpy.save(f"{folder}/images.npy", pixels)
    x = (pixels[:16] + random.integers(0, 65536, (16, 32, 32, 3)) / 65536) / 256 - 0.5
    numpy.save(f"{folder}/x.npy", x.astype("float32"))


def stir(path):
    random = numpy.random.default_rng(2)
    with safe_open(path, "numpy") as file:
        metadata = {key: value for key, value in file.metadata().items() if key not in OF_THE_WRITER}
    tensors = load_file(path)
    for name, value in tensors.items():
        if name.endswith((".bias", ".log_scale")) or name.startswith("prior.") or ".split." in name:
            value += random.normal(0, NOISE, value.shape).astype(value.dtype)
    save_file(tensors, path, metadata)


if __name__ == "__main__":
    {"images": images, "stir": stir}[sys.argv[1]](sys.argv[2])
