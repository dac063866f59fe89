"""What the commands compute, seen through the files and the text that they give."""

import json
import os

import numpy as np

import program
from program import CLASSES, IMAGES, ProgramTest, idx, png

PLAIN = ["--model", "plain.safetensors"]
BY_CLASS = ["--model", "by_class.safetensors"]
DIMS = 192
# Of decode(encode(x)): float32 rounds by 6e-8, and pixels lie 4e-3 apart
ROUND_TRIP = 1e-4


class CommandTest(ProgramTest):
    def load(self, name):
        return np.load(program.FOLDER / name)

    def images(self):
        return self.load("colour.npy")

    def centred(self):
        return ((self.images() + np.float32(0.5)) / np.float32(256) - np.float32(0.5))


class ScoreTest(CommandTest):
    def test_the_mean_is_that_of_the_scores(self):
        result = self.done("score", *PLAIN, "colour.npy", "--output", "p.npy", "--json")
        told = json.loads(result.stdout)
        log_prob = self.load("p.npy")
        self.assertEqual((log_prob.dtype, log_prob.shape), (np.float64, (IMAGES,)))
        bits = (-log_prob + DIMS * 8 * np.log(2)) / (DIMS * np.log(2))
        self.assertAlmostEqual(told["bits_per_dim"], bits.mean(), places=9)
        self.assertAlmostEqual(told["standard_error"], bits.std(ddof=1) / IMAGES**0.5, places=9)
        self.assertEqual(told["images"], IMAGES)
        self.assertTrue(0 < told["bits_per_dim"] < 12, told)

    def test_the_text_says_the_same(self):
        text = self.done("score", *PLAIN, "colour.npy").stdout.decode()
        told = json.loads(self.done("score", *PLAIN, "colour.npy", "--json").stdout)
        self.assertIn(f"{told['bits_per_dim']:.4f} bits/dim", text)

    def test_json_is_json_whatever_the_model_is_called(self):
        name = b"not_utf8_\xff.safetensors"
        os.link(program.FOLDER / "plain.safetensors", os.fsencode(program.FOLDER) + b"/" + name)
        told = json.loads(self.done("score", "--model", os.fsdecode(name), "colour.npy", "--json").stdout)
        self.assertEqual(told["model"], "not_utf8_\N{REPLACEMENT CHARACTER}.safetensors")

    def test_one_is_told_in_the_singular(self):
        np.save(program.FOLDER / "one.npy", self.images()[:1])
        self.assertIn(b", 1 image\n", self.done("score", *PLAIN, "one.npy").stdout)
        self.assertIn(b" 1 image, ", self.done("sample", *PLAIN, "--count", 1, "--output",
                                               "one.png").stderr)

    def test_floats_are_taken_as_they_are(self):
        np.save(program.FOLDER / "x.npy", self.centred())
        self.done("score", *PLAIN, "--input", "x.npy", "--output", "a.npy")
        self.done("score", *PLAIN, "--input", "colour.npy", "--noise", "centre", "--output", "b.npy")
        np.testing.assert_array_equal(self.load("a.npy"), self.load("b.npy"))

    def test_data_and_input_get_the_same_noise(self):
        self.done("score", *PLAIN, "--input", "colour.npy", "--seed", 5, "--output", "a.npy")
        self.done("score", *PLAIN, "colour.npy", "--seed", 5, "--output", "b.npy")
        self.done("score", *PLAIN, "colour.npy", "--seed", 6, "--output", "c.npy")
        np.testing.assert_array_equal(self.load("a.npy"), self.load("b.npy"))
        self.assertTrue((self.load("a.npy") != self.load("c.npy")).all())

    def test_labels_count_and_without_them_their_mean(self):
        by_label = []
        for label in range(CLASSES):
            np.save(program.FOLDER / "l.npy", np.full(IMAGES, label, np.uint8))
            self.done("score", *BY_CLASS, "--input", "colour.npy", "--labels", "l.npy",
                      "--output", "p.npy")
            by_label.append(self.load("p.npy"))
        self.done("score", *BY_CLASS, "--input", "colour.npy", "--output", "p.npy")
        want = np.logaddexp.reduce(by_label) - np.log(CLASSES)
        # log p is near -500; float32 has 1e-7 of that an operation
        np.testing.assert_allclose(self.load("p.npy"), want, rtol=1e-6)


    def test_where_it_ran_is_said_beside_the_result(self):
        result = self.done("score", *PLAIN, "colour.npy", "--device", "cpu", "--threads", 1)
        self.assertRegex(result.stderr.decode(), r"\Ascored on cpu, 1 thread, \w+, f32\n\Z")
        result = self.done("score", *PLAIN, "colour.npy", "--device", "cpu", "--json")
        json.loads(result.stdout)
        self.assertIn(b"scored on cpu", result.stderr)


class LatentsTest(CommandTest):
    def test_decode_undoes_encode(self):
        np.save(program.FOLDER / "x.npy", self.centred())
        self.done("encode", *PLAIN, "--input", "x.npy", "--output", "z.npy")
        latents = self.load("z.npy")
        self.assertEqual((latents.dtype, latents.shape), (np.float32, (IMAGES, DIMS)))
        self.done("decode", *PLAIN, "--latents", "z.npy", "--output", "y.npy")
        images = self.load("y.npy")
        self.assertEqual(images.dtype, np.float32)
        np.testing.assert_allclose(images, self.centred(), atol=ROUND_TRIP)

    def test_centred_pixels_come_back_exactly(self):
        self.done("encode", *PLAIN, "colour.npy", "--noise", "centre", "--output", "z.npy")
        self.done("decode", *PLAIN, "--latents", "z.npy", "--output", "y.npy")
        pixels = np.floor((self.load("y.npy") + 0.5) * 256)
        np.testing.assert_array_equal(pixels, self.images())

    def test_a_model_with_classes_comes_back_under_the_same_labels(self):
        labels = ["--labels", "colour_labels.npy"]
        np.save(program.FOLDER / "x.npy", self.centred())
        self.done("encode", *BY_CLASS, "--input", "x.npy", *labels, "--output", "z.npy")
        self.done("encode", *BY_CLASS, "colour.npy", "--noise", "centre", *labels, "--output",
                  "w.npy")
        np.testing.assert_array_equal(self.load("z.npy"), self.load("w.npy"))
        self.done("decode", *BY_CLASS, "--latents", "z.npy", *labels, "--output", "y.npy")
        np.testing.assert_allclose(self.load("y.npy"), self.centred(), atol=ROUND_TRIP)

    def test_doubles_and_labels_of_idx_are_taken_as_floats_and_arrays_are(self):
        (program.FOLDER / "l.idx").write_bytes(idx(np.load(
            program.FOLDER / "colour_labels.npy").astype(np.uint8)))
        for name, change in [("x", np.float32), ("double", np.float64)]:
            np.save(program.FOLDER / "x.npy", self.centred().astype(change))
            labels = ["--labels", "l.idx" if name == "double" else "colour_labels.npy"]
            self.done("encode", *BY_CLASS, "--input", "x.npy", *labels, "--output", "z.npy")
            np.save(program.FOLDER / "z.npy", self.load("z.npy").astype(change))
            self.done("decode", *BY_CLASS, "--latents", "z.npy", *labels, "--output",
                      f"y_{name}.npy")
        np.testing.assert_array_equal(self.load("y_x.npy"), self.load("y_double.npy"))

    def test_the_prior_makes_latents_smaller_than_a_wrong_order_would(self):
        """Latents of training images are near N(0, 1) once ActNorm has been initialised."""
        self.done("encode", *PLAIN, "colour.npy", "--output", "z.npy")
        self.assertTrue(0.3 < self.load("z.npy").std() < 3)

    def test_decode_draws_a_grid(self):
        self.done("encode", *PLAIN, "colour.npy", "--output", "z.npy")
        self.done("decode", *PLAIN, "--latents", "z.npy", "--output", "y.png", "--columns", 5)
        self.assertEqual(png_size(program.FOLDER / "y.png")[0], 5 * 8 + 4 * 2)

    def test_reconstructions_are_counted_and_drawn(self):
        result = self.done("reconstruct", *PLAIN, "colour.npy", "--output", "r.png", "--json")
        told = json.loads(result.stdout)
        self.assertEqual((told["exact"], told["pixels"], told["images"]), (16 * DIMS, 16 * DIMS, 16))
        self.assertEqual(png_size(program.FOLDER / "r.png"), (8 * 10 - 2, 4 * 10 - 2))

    def test_interpolation_draws_a_row_for_each_pair(self):
        for args, rows in [(["--pairs", 3], 3), (["--from", 0, "--to", 39], 1)]:
            self.done("interpolate", *PLAIN, "colour.npy", "--output", "i.png", "--steps", 6, *args)
            self.assertEqual(png_size(program.FOLDER / "i.png"), (6 * 10 - 2, rows * 10 - 2))
        self.done("interpolate", *BY_CLASS, "colour.npy", "--labels", "colour_labels.npy",
                  "--output", "i.png")


class SampleTest(CommandTest):
    def draw(self, *args, model=PLAIN, count=10):
        self.done("sample", *model, "--output", "x.npy", "--count", count, *args)
        pixels = self.load("x.npy")
        self.assertEqual((pixels.dtype, pixels.shape), (np.uint8, (count, 8, 8, 3)))
        return pixels

    def test_the_seed_decides_and_nothing_else(self):
        first = self.draw("--seed", 1)
        np.testing.assert_array_equal(first, self.draw("--seed", 1, "--batch", 3))
        np.testing.assert_array_equal(first[4:6], self.draw("--seed", 1, "--first", 4, count=2))
        self.assertTrue((first != self.draw("--seed", 2)).any())

    def test_without_temperature_all_are_alike(self):
        pixels = self.draw("--temperature", 0)
        np.testing.assert_array_equal(pixels[1:], pixels[:-1])

    def test_each_class_comes_in_turn(self):
        cycle = self.draw("--temperature", 0, model=BY_CLASS)
        for label in range(CLASSES):
            alone = self.draw("--temperature", 0, "--class", label, model=BY_CLASS, count=1)
            np.testing.assert_array_equal(cycle[label::CLASSES][:1], alone)

    def test_precision_is_the_fastest_unless_told(self):
        def told(*args):
            result = self.done("sample", *PLAIN, "--output", "x.npy", "--count", 2, "--device",
                               "cpu", *args)
            return result.stderr.decode().split()[-1]
        self.assertEqual(told("--precision", "f32"), "f32")
        with open("/proc/cpuinfo") as cpu:
            has_bf16 = "avx512_bf16" in cpu.read()
        self.assertEqual(told(), "bf16" if has_bf16 else "f32")

    def test_a_picture_is_a_grid(self):
        self.done("sample", *PLAIN, "--output", "s.png", "--count", 10)
        self.assertEqual(png_size(program.FOLDER / "s.png"), (4 * 10 - 2, 3 * 10 - 2))


class InfoTest(CommandTest):
    def test_the_model_is_described(self):
        text = self.done("info", "by_class.safetensors").stdout.decode()
        for words in ["8x8x3", "2 levels of 2 steps", "hidden width 8", "classes   3"]:
            self.assertIn(words, text)

    def test_memory_is_planned_for_each_mode(self):
        text = self.done("info", "plain.safetensors", "--device", "cpu").stdout.decode()
        for words in ["in MB, on cpu, ", "sampling", "full", "state", "invert", "most images"]:
            self.assertIn(words, text)
        told = json.loads(self.done("info", "plain.safetensors", "--device", "cpu", "--batch", 4096,
                                    "--json").stdout)["memory"]
        self.assertGreater(told["full"]["total"], told["state"]["total"])
        self.assertGreater(told["state"]["total"], told["invert"]["total"])
        self.assertEqual(told["sampling"]["optimizer"], 0)
        for work in ["sampling", "full", "state", "invert"]:
            plan = told[work]
            parts = sum(plan[p] for p in ["weights", "optimizer", "activations", "workspace"])
            self.assertEqual((plan["batch"], plan["total"]), (4096, parts))
            self.assertGreater(plan["largest_batch"], 4096)
            self.assertLess(plan["largest_batch"] * plan["per_image"], told["free"])
        alone = json.loads(self.done("info", "plain.safetensors", "--device", "cpu", "--memory",
                                     "state", "--json").stdout)["memory"]
        self.assertEqual(set(alone) & {"full", "state", "invert"}, {"state"})

    def test_the_folder_of_a_run_stands_for_its_last_model(self):
        texts = [self.done("info", path).stdout.split(b"  memory")[0]  # what is free changes
                 for path in ("run_by_class", "run_by_class/checkpoints/last/model.safetensors")]
        self.assertEqual(*texts)

    def test_memory_of_training_is_asked_of_no_other_command(self):
        for command in ["train", "sample", "score", "encode", "decode", "interpolate",
                        "reconstruct", "info"]:
            text = self.done(command, "--help").stdout.decode()
            self.assertEqual("--memory" in text, command in ("train", "info"), command)

    def test_json_has_every_tensor(self):
        told = json.loads(self.done("info", "plain.safetensors", "--json").stdout)
        self.assertEqual(told["config"]["hidden"], 8)
        self.assertEqual(told["bytes"], (program.FOLDER / "plain.safetensors").stat().st_size)
        shapes = {t["name"]: t["shape"] for t in told["tensors"]}
        self.assertEqual(shapes["levels.1.steps.0.coupling.conv1.weight"], [8, 3, 3, 12])
        self.assertEqual(shapes["prior.mean"], [24])


class DataTest(CommandTest):
    def test_a_folder_scores_as_its_images_do(self):
        self.done("score", *PLAIN, "classes", "--output", "a.npy")
        np.save(program.FOLDER / "first.npy", self.images()[:24])
        self.done("score", *PLAIN, "first.npy", "--output", "b.npy")
        np.testing.assert_array_equal(self.load("a.npy"), self.load("b.npy"))

    def test_images_of_another_size_are_fitted_when_asked(self):
        for fit in ["--crop", "--resize"]:
            self.done("score", *PLAIN, "large.npy", fit)
        (program.FOLDER / "small").mkdir()
        (program.FOLDER / "small" / "one.png").write_bytes(png(np.zeros((6, 4, 3), np.uint8)))
        self.done("score", *PLAIN, "small", "--pad")


def png_size(path):
    header = path.read_bytes()[16:24]
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
