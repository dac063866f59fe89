"""Writes scikit-learn's 8x8 digits into a folder: four fifths to train on, one to test on."""

import sys

import numpy as np
from sklearn.datasets import load_digits

images = load_digits().data.astype(np.uint8)
images = images[np.random.default_rng(0).permutation(len(images))]
test = len(images) // 5
np.save(f"{sys.argv[1]}/digits_test.npy", images[:test])
np.save(f"{sys.argv[1]}/digits_train.npy", images[test:])
