"""Vectors: rheo toy, and what is refused of them before a model has seen them."""

import glob
import shutil
import unittest

import numpy as np

import program
from program import QUICK, TINY_MODEL, ProgramTest

PLAIN = ["--model", "plain.safetensors"]
KINDS = ["moons", "circles", "checkerboard", "spirals", "eight_gaussians", "pinwheel"]


def train(data, *args):
    return ["train", data, "--run", "refused", "--updates", 2, *args]


USAGE = {
    "unknown toy": (["toy", "moon", "t.npy"], ["moon", "moons"]),
    "toy without a kind": (["toy"], ["KIND"]),
    "toy to nowhere": (["toy", "moons"], ["OUTPUT"]),
    "toy as a picture": (["toy", "moons", "t.png"], ["OUTPUT", "t.png", ".npy"]),
    "no points": (["toy", "moons", "t.npy", "--count", 0], ["--count", "0"]),
    "negative noise": (["toy", "moons", "t.npy", "--noise", -1], ["--noise", "-1"]),
    "negative seed": (["toy", "moons", "t.npy", "--seed", -1], ["--seed", "-1"]),
    "points of a file": (train("pairs.npy", "--points", 10), ["--points", "toy:KIND", "pairs.npy"]),
    "noise of a file": (["score", *PLAIN, "colour.npy", "--toy-noise", 0.1], ["--toy-noise"]),
    "unknown model": (train("pairs.npy", "--model", "vae"), ["--model", "vae"]),
    "unknown permutation": (train("pairs.npy", "--permutation", "swap"), ["--permutation", "swap"]),
    "unknown prior": (train("pairs.npy", "--prior", "cauchy"), ["--prior", "cauchy"]),
    "steps in words": (["encode", *PLAIN, "colour.npy", "--output", "z.npy", "--steps-done", "all"],
                       ["--steps-done", "all"]),
}

VALUES = {
    "unknown toy as data": (train("toy:moon"), ["toy:moon", "moons, circles", "got moon"]),
    "toy of a size": (train("toy:moons", "--size", 8), ["toy:moons", "vectors"]),
    "toy with labels": (train("toy:moons", "--labels", "colour_labels.npy"), ["toy:moons"]),
    "glow of vectors": (train("pairs.npy", "--model", "glow"), ["pairs.npy", "glow", "realnvp"]),
    "nice of images": (train("colour.npy", "--model", "nice"), ["colour.npy", "nice", "realnvp"]),
    "maf of images": (train("colour.npy", "--model", "maf"), ["colour.npy", "maf"]),
    "coupling of one number": (train("ones.npy"), ["dims", "2", "got 1"]),
    "levels of vectors": (train("pairs.npy", "--levels", 2), ["realnvp", "vectors", "levels"]),
    "bits of vectors": (train("pairs.npy", "--bits", 5), ["--bits: realnvp on vectors has no"]),
    "edges of vectors": (train("pairs.npy", "--edge-bias"), ["--edge-bias: realnvp on vectors"]),
    "scale of maf": (train("pairs.npy", "--model", "maf", "--scale", "tanh"), ["maf", "--scale"]),
    "scale of nice": (train("pairs.npy", "--model", "nice", "--scale", "tanh"),
                      ["nice", "--scale"]),
    "a narrow network": (train("triples.npy", "--model", "maf", "--hidden", 1),
                         ["hidden of maf", "dims - 1 = 2", "got 1"]),
    "prior of glow": (train("colour.npy", "--prior", "logistic"), ["glow", "images", "prior"]),
    "affine nice": (train("pairs.npy", "--model", "nice", "--coupling", "affine"),
                    ["nice", "additive", "affine"]),
    "classes of vectors": (train("pairs.npy", "--classes", 2), ["classes", "2"]),
    "vectors by class": (train("pairs.npy", "--conditional"), ["pairs.npy", "--conditional"]),
    "labels of vectors": (train("pairs.npy", "--labels", "colour_labels.npy"), ["pairs.npy"]),
    "vectors to crop": (train("pairs.npy", "--crop"), ["pairs.npy", "images"]),
    "all held out": (train("pairs.npy", "--held-out", 40), ["--held-out", "40", "vectors"]),
    "images to test on": (train("pairs.npy", "--test", "colour.npy"), ["colour.npy", "vectors"]),
    "vectors to test on": (train("colour.npy", *TINY_MODEL, *QUICK, "--test", "toy:moons"),
                           ["toy:moons", "images"]),
    "other vectors to test on": (train("pairs.npy", "--test", "triples.npy"),
                                 ["triples.npy", "2", "3"]),
    "vectors for a model of images": (["score", *PLAIN, "pairs.npy"], ["pairs.npy", "images"]),
    "a toy for a model of images": (["encode", *PLAIN, "toy:moons", "--output", "z.npy"],
                                    ["toy:moons", "8x8x3"]),
    "vectors in place of images": (["score", *PLAIN, "--input", "pairs.npy"],
                                   ["pairs.npy", "[N, 8, 8, 3]"]),
    "steps of a model of images": (["encode", *PLAIN, "colour.npy", "--output", "z.npy",
                                    "--steps-done", 1], ["--steps-done", "vectors"]),
    "images as numbers": (["interpolate", *PLAIN, "colour.npy", "--output", "i.npy"],
                          ["i.npy", ".png"]),
    "copies as numbers": (["reconstruct", *PLAIN, "colour.npy", "--output", "r.npy"],
                          ["r.npy", ".png"]),
}


class ToyTest(ProgramTest):
    def toy(self, kind, *args):
        self.done("toy", kind, "toy.npy", *args)
        points = np.load(program.FOLDER / "toy.npy")
        (program.FOLDER / "toy.npy").unlink()
        self.assertEqual((points.dtype, points.shape[1:]), (np.float32, (2,)))
        return points

    def test_each_kind_is_a_function_of_its_seed(self):
        for kind in KINDS:
            with self.subTest(kind):
                points = self.toy(kind, "--count", 50, "--seed", 3)
                self.assertEqual(len(points), 50)
                np.testing.assert_array_equal(points[:20],
                                              self.toy(kind, "--count", 20, "--seed", 3))
                self.assertTrue((points != self.toy(kind, "--count", 50)).any())

    def test_moons_lie_where_scikit_learn_puts_them(self):
        x, y = self.toy("moons", "--count", 1000, "--noise", 0).T
        upper = np.abs(np.hypot(x, y) - 1) + np.maximum(-y, 0)
        lower = np.abs(np.hypot(x - 1, y - 0.5) - 1) + np.maximum(y - 0.5, 0)
        # Floats of about 1
        self.assertLess(np.minimum(upper, lower).max(), 1e-6)
        self.assertTrue(400 < (upper < lower).sum() < 600, "each with probability 1/2")

    def test_standardised_points_of_another_seed_keep_the_scale(self):
        raw = self.toy("pinwheel")
        mean, deviation = raw.mean(0, dtype=np.float64), raw.std(0, dtype=np.float64)
        for seed in [0, 5]:
            wanted = (self.toy("pinwheel", "--seed", seed, "--count", 100) - mean) / deviation
            got = self.toy("pinwheel", "--seed", seed, "--count", 100, "--standardise")
            # Rounded to float32 after a division in double
            np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)

    def test_help_names_every_kind(self):
        for command in [["toy"], []]:
            text = self.done(*command, "--help").stdout.decode()
            self.assertIn("moons" if command else "toy", text)
        text = self.done("toy", "--help").stdout.decode()
        for kind in KINDS:
            self.assertIn(kind, text)
        self.assertIn("toy:KIND", self.done("train", "--help").stdout.decode())

    def test_each_misuse_is_told_in_a_line(self):
        for name, (args, words) in USAGE.items():
            with self.subTest(name):
                self.refused(2, args, words + ["--help"])


class VectorsTest(ProgramTest):
    def test_what_does_not_fit_is_told_in_a_line(self):
        for name, (args, words) in VALUES.items():
            with self.subTest(name):
                self.refused(3, args, words)

    def test_each_bad_array_of_vectors_is_named(self):
        nan = np.zeros((4, 2), np.float32)
        nan[2, 1] = np.nan
        for name, array, words in [
                ("nan", nan, ["nan", "row 2", "column 1"]),
                ("wide", np.full((4, 2), 1e300), ["inf", "row 0"]),
                ("line", np.zeros(4, np.float32), ["[N, D]", "float32 [4]"]),
                ("images", np.zeros((2, 8, 8, 3), np.float32), ["uint8", "float32 [2, 8, 8, 3]"]),
                ("whole", np.zeros((4, 2), np.int64), ["float64 [N, D]", "int64 [4, 2]"]),
                ("none", np.zeros((0, 2), np.float32), ["[0, 2]"])]:
            with self.subTest(name):
                path = program.FOLDER / f"bad_{name}.npy"
                np.save(path, array)
                self.addCleanup(path.unlink)
                self.refused(3, train(path.name), [path.name, *words])

    def begun(self, data, *args):
        """What is told of a training of one update."""
        self.addCleanup(shutil.rmtree, program.FOLDER / "noted", ignore_errors=True)
        told = self.done("train", data, "--run", "noted", "--updates", 1, "--hidden", 8, *args)
        shutil.rmtree(program.FOLDER / "noted")
        return told.stderr.decode()

    def test_numbers_of_another_scale_are_told_of(self):
        path = program.FOLDER / "scaled.npy"
        self.addCleanup(path.unlink)
        good = np.random.default_rng(3).normal(size=(200, 3))
        good = (good - good.mean(0)) / good.std(0)
        for columns, words in [
                ([[0, 1], [40, 1], [0, 0.01]], ["2 of 3 columns", "column 1 has 40 and 1;", "(x - mean)"]),
                ([[0, 1], [0, 1], [7, 0]], ["column 2 is 7 in all vectors", "leave it out"]),
                # Far from 0 beside how much they differ, but different.
                ([[0, 1], [1.7e9, 1000], [0, 1]], ["1 of 3 columns", "column 1 has 1.7e+09 and "])]:
            mean, deviation = np.array(columns).T
            np.save(path, good * deviation + mean)
            told = self.begun("scaled.npy")
            for word in ["note   ", *words]:
                self.assertIn(word, told)
        np.save(path, good)
        for data in ["scaled.npy", "toy:pinwheel"]:
            self.assertNotIn("mean", self.begun(data))

    @unittest.skipIf(glob.glob("/dev/nvidia*") or glob.glob("/sys/bus/pci/drivers/nvidia*")
                     or any("0x10de" in open(vendor).read()
                            for vendor in glob.glob("/sys/bus/pci/devices/*/vendor")),
                     "there seems to be a GPU")
    def test_no_gpu_is_missed_where_none_is(self):
        self.assertNotIn("GPU", self.begun("pairs.npy"))

    def test_advice_after_a_divergence_names_the_option(self):
        self.addCleanup(shutil.rmtree, program.FOLDER / "lost", ignore_errors=True)
        result = program.call("train", "pairs.npy", "--run", "lost", "--hidden", 8,
                              "--learning-rate", 1000, "--clip-norm", 0)
        self.assertEqual(result.returncode, 6, result.stderr)
        self.assertIn(b"--scale bounded", result.stderr)

    def test_a_configuration_of_images_is_none_of_vectors(self):
        path = program.FOLDER / "images.json"
        self.addCleanup(path.unlink)
        path.write_text('{"model": {"height": 8, "width": 8}}')
        self.refused(3, train("pairs.npy", "--config", "images.json"), ["images.json", "height"])
        path.write_text('{"model": {"n_bits": 5}}')
        self.refused(3, train("pairs.npy", "--config", "images.json"),
                     ["images.json: realnvp on vectors has no n_bits"])
        self.refused(3, train("pairs.npy", "--config", "images.json", "--bits", 6), ["--bits:"])
        path.write_text('{"model": {"dims": 3}}')
        self.refused(3, train("pairs.npy", "--config", "images.json"), ["pairs.npy", "3", "2"])
        path.write_text('{"model": {"dims": 2}}')
        self.refused(3, train("colour.npy", "--config", "images.json"), ["glow", "images", "dims"])
