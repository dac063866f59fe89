"""Models of vectors, from a toy to what the commands make of them."""

import json
import os
import shutil

import numpy as np

import program
from program import IMAGES, ProgramTest

FAMILIES = {"realnvp": 4, "nice": 4, "maf": 5, "iaf": 5}  # and their steps
QUICK = ["--hidden", 16, "--batch", 64, "--samples", 30]
# Of numbers near 1 that go through at most five couplings and back in float32
ROUND_TRIP = 2e-6


def model(family):
    return ["--model", f"vectors_{family}/checkpoints/last/model.safetensors"]


class VectorModelTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        for family in FAMILIES:
            result = program.call("train", "toy:moons", "--run", f"vectors_{family}", "--model",
                                  family, "--updates", 8, "--points", 500, "--held-out", 100,
                                  "--sample-every", 4, "--validate-every", 4, *QUICK)
            if result.returncode != 0:
                raise RuntimeError(f"{family}: {result.stderr.decode(errors='replace')}")

    @classmethod
    def tearDownClass(cls):
        for family in FAMILIES:
            shutil.rmtree(program.FOLDER / f"vectors_{family}")

    def setUp(self):
        self.addCleanup(shutil.rmtree, program.FOLDER / "run", ignore_errors=True)

    def load(self, name):
        return np.load(program.FOLDER / name)

    def made(self, name, *args):
        self.done(*args, "--output", name)
        self.addCleanup((program.FOLDER / name).unlink, missing_ok=True)
        return self.load(name)

    def metrics(self, run, split):
        lines = (program.FOLDER / run / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["split"] == split]

    def test_a_run_counts_in_nats_and_keeps_its_samples_as_numbers(self):
        run = program.FOLDER / "vectors_realnvp"
        self.assertEqual(sorted(os.listdir(run / "samples")),
                         ["latest.npy", "step_00000004.npy", "step_00000008.npy"])
        drawn = np.load(run / "samples" / "latest.npy")
        self.assertEqual((drawn.dtype, drawn.shape), (np.float32, (30, 2)))
        lines = self.metrics("vectors_realnvp", "train")
        self.assertEqual([line["step"] for line in lines], list(range(1, 9)))
        self.assertNotIn("bits_per_dim", lines[0])
        # A standard normal gives standardised data log(2 pi) + 1 = 2.84 nats; in bits/dim, 2.05
        self.assertTrue(all(2.3 < line["nats"] < 6 for line in lines), lines)
        tests = self.metrics("vectors_realnvp", "test")
        self.assertEqual([(line["step"], line["images"]) for line in tests],
                         [(4, 100), (8, 100), (8, 100)])
        best = min(tests[:2], key=lambda line: line["nats"])
        self.assertEqual(os.readlink(run / "checkpoints" / "best"), f"step_{best['step']:08}")
        config = json.loads((run / "config.json").read_text())
        self.assertEqual((config["model"]["dims"], config["model"]["steps"]), (2, 4))
        train = config["train"]
        self.assertEqual((train["optimizer"], train["schedule"], train["warmup_images"]),
                         ("adam", "cosine", 0))
        self.assertIn("400x2-", config["data"]["train_fingerprint"])

    def test_the_score_is_the_mean_of_the_scores(self):
        for family in FAMILIES:
            with self.subTest(family):
                told = json.loads(self.done("score", *model(family), "pairs.npy", "--output",
                                            "p.npy", "--json").stdout)
                scores = self.load("p.npy")
                self.assertEqual((scores.dtype, scores.shape), (np.float64, (IMAGES,)))
                self.assertAlmostEqual(told["nats"], -scores.mean(), places=9)
                self.assertAlmostEqual(told["standard_error"], scores.std(ddof=1) / IMAGES**0.5,
                                       places=9)
                self.assertEqual(told["vectors"], IMAGES)
                text = self.done("score", *model(family), "--input", "pairs.npy").stdout.decode()
                self.assertIn(f"{told['nats']:.4f} nats", text)

    def test_latents_come_back_and_every_step_on_the_way(self):
        x = self.load("pairs.npy")
        for family, steps in FAMILIES.items():
            with self.subTest(family):
                latents = self.made("z.npy", "encode", *model(family), "pairs.npy")
                self.assertEqual((latents.dtype, latents.shape), (np.float32, (IMAGES, 2)))
                back = self.made("y.npy", "decode", *model(family), "--latents", "z.npy")
                np.testing.assert_allclose(back, x, atol=ROUND_TRIP)
                states = [self.made("e.npy", "encode", *model(family), "pairs.npy", "--steps-done",
                                    k) for k in range(steps + 1)]
                np.testing.assert_array_equal(states[0], x)
                for k, state in enumerate(states):
                    undone = self.made("d.npy", "decode", *model(family), "--latents", "z.npy",
                                       "--steps-done", steps - k)
                    np.testing.assert_allclose(undone, state, atol=ROUND_TRIP)
                for one, other in zip(states, states[1:]):
                    self.assertTrue((one != other).any(), "a step did nothing")

    def test_samples_are_numbers_that_their_seed_decides(self):
        for family in FAMILIES:
            with self.subTest(family):
                drawn = self.made("s.npy", "sample", *model(family), "--count", 10, "--seed", 1)
                self.assertEqual((drawn.dtype, drawn.shape), (np.float32, (10, 2)))
                again = self.made("s.npy", "sample", *model(family), "--count", 4, "--seed", 1,
                                  "--first", 3)
                np.testing.assert_array_equal(again, drawn[3:7])

    def test_reconstructions_and_interpolations_are_numbers(self):
        told = json.loads(self.done("reconstruct", *model("maf"), "pairs.npy", "--output", "r.npy",
                                    "--json").stdout)
        difference = np.abs(self.load("r.npy") - self.load("pairs.npy")[::IMAGES // 16][:16])
        self.assertEqual(told["vectors"], 16)
        self.assertLess(told["largest_difference"], ROUND_TRIP)
        self.assertEqual(difference.shape, (16, 2))
        between = self.made("i.npy", "interpolate", *model("maf"), "pairs.npy", "--from", 0, "--to",
                            39, "--steps", 5)
        self.assertEqual(between.shape, (1, 5, 2))
        np.testing.assert_allclose(between[0, [0, 4]], self.load("pairs.npy")[[0, 39]],
                                   atol=ROUND_TRIP)

    def test_the_model_is_described(self):
        for family, words in {"realnvp": ["a RealNVP", "4 steps", "scale tanh"],
                              "nice": ["a NICE", "additive"], "maf": ["masked", "5 steps"],
                              "iaf": ["inverse autoregressive", "prior     gaussian"]}.items():
            text = self.done("info", model(family)[1]).stdout.decode()
            for word in ["of 2 numbers", "permutation reverse", "hidden width 16", *words]:
                self.assertIn(word, text)
            self.assertEqual("scale" in text, family == "realnvp")

    def test_a_resumed_run_is_the_unbroken_one(self):
        begin = ["train", "toy:moons", "--run", "run", "--model", "maf", "--points", 500,
                 "--held-out", 100, *QUICK]
        self.done(*begin, "--updates", 5, "--schedule", "constant")
        self.done("train", "--run", "run", "--resume", "--updates", 9)
        checkpoint = program.FOLDER / "run" / "checkpoints" / "last" / "model.safetensors"
        resumed = checkpoint.read_bytes()
        shutil.rmtree(program.FOLDER / "run")
        self.done(*begin, "--updates", 9, "--schedule", "constant")
        self.assertTrue(resumed == checkpoint.read_bytes(), "they differ")

    def test_what_the_model_does_not_take_is_told_in_a_line(self):
        realnvp = model("realnvp")
        resume = ["train", "--run", "vectors_maf", "--resume"]
        np.save(program.FOLDER / "z3.npy", np.zeros((2, 3), np.float32))
        self.addCleanup((program.FOLDER / "z3.npy").unlink)
        for name, args, words in [
                ("images", ["score", *realnvp, "colour.npy"], ["colour.npy", "vectors", "images"]),
                ("input of images", ["encode", *realnvp, "--input", "colour.npy", "--output",
                                     "z.npy"], ["colour.npy", "vectors"]),
                ("other numbers", ["score", *realnvp, "triples.npy"], ["triples.npy", "2", "3"]),
                ("other latents", ["decode", *realnvp, "--latents", "z3.npy", "--output", "y.npy"],
                 ["z3.npy", "[N, 2]", "[2, 3]"]),
                ("a size", ["score", *realnvp, "pairs.npy", "--size", 8], ["--size", "vectors"]),
                ("samples as a picture", ["sample", *realnvp, "--output", "s.png"], [".npy"]),
                ("vectors as a picture", ["decode", *realnvp, "--latents", "z3.npy", "--output",
                                          "y.png"], [".npy"]),
                ("a path as a picture", ["interpolate", *realnvp, "pairs.npy", "--output", "i.png"],
                 [".npy"]),
                ("too many steps", ["encode", *realnvp, "pairs.npy", "--output", "e.npy",
                                    "--steps-done", 5], ["--steps-done", "4", "5"]),
                ("steps below none", ["decode", *realnvp, "--latents", "z3.npy", "--output",
                                      "e.npy", "--steps-done", -1], ["--steps-done", "-1"]),
                ("columns of a picture", ["decode", *realnvp, "--latents", "z3.npy", "--output",
                                          "y.npy", "--columns", 2], ["--columns", "vectors"]),
                ("columns of samples", ["sample", *realnvp, "--output", "s.npy", "--columns", 2],
                 ["--columns", "vectors"]),
                ("columns of copies", ["reconstruct", *realnvp, "pairs.npy", "--columns", 2],
                 ["--columns", "vectors"]),
                ("noise of numbers", ["score", *realnvp, "pairs.npy", "--noise", "uniform"],
                 ["--noise", "vectors"]),
                ("seed of noise", ["encode", *realnvp, "--input", "pairs.npy", "--output", "e.npy",
                                   "--seed", 0], ["--seed", "vectors"]),
                ("noise of copies", ["reconstruct", *realnvp, "pairs.npy", "--noise", "centre"],
                 ["--noise", "vectors"]),
                ("a class", ["sample", *realnvp, "--output", "s.npy", "--class", 0], ["--class"]),
                ("flips", ["train", "pairs.npy", "--run", "run", "--flip"], ["flip", "images"]),
                ("a run of other data", [*resume[:1], "pairs.npy", *resume[1:], "--held-out", 4],
                 ["data"]),
                ("a run of images", [*resume[:1], "colour.npy", *resume[1:], "--held-out", 4],
                 ["colour.npy", "vectors", "images"])]:
            with self.subTest(name):
                self.refused(3, args, words)
