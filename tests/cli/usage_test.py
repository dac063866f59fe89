"""What the command line itself has wrong: exit code 2, or 3 where a value does not fit a file."""

from program import QUICK, TINY_MODEL, ProgramTest

PLAIN = ["--model", "plain.safetensors"]
BY_CLASS = ["--model", "by_class.safetensors"]
TRAIN = ["train", "colour.npy", "--run", "refused", "--updates", 2]
TINY = [*TRAIN, *TINY_MODEL, *QUICK]

USAGE = {
    "no command": ([], ["subcommand"]),
    "unknown command": (["tarin"], ["tarin"]),
    "unknown option": (["score", *PLAIN, "colour.npy", "--nosie", "centre"], ["--nosie"]),
    "one argument too many": (["info", "plain.safetensors", "other"], ["other"]),
    "no model": (["score", "colour.npy"], ["--model"]),
    "no images": (["score", *PLAIN], ["DATA", "--input"]),
    "two sources of images": (["score", *PLAIN, "colour.npy", "--input", "colour.npy"], ["--input"]),
    "unknown noise": (["score", *PLAIN, "colour.npy", "--noise", "loud"], ["--noise", "loud"]),
    "negative seed": (["score", *PLAIN, "colour.npy", "--seed", -1], ["--seed", "-1"]),
    "unknown device": (["score", *PLAIN, "colour.npy", "--device", "tpu"], ["--device", "tpu"]),
    "GPU without a number": ([*TRAIN, "--device", "cuda:x"], ["--device", "cuda:x"]),
    "half a GPU": (["sample", *PLAIN, "--output", "p.png", "--device", "cuda:"], ["cuda:"]),
    "unknown precision": (["score", *PLAIN, "colour.npy", "--precision", "f64"], ["f64"]),
    "unknown memory mode": (["info", "plain.safetensors", "--memory", "none"], ["--memory", "none"]),
    "threads that are no number": (["score", *PLAIN, "colour.npy", "--threads", "two"], ["two"]),
    "unknown progress": (["score", *PLAIN, "colour.npy", "--progress", "loud"], ["loud"]),
    "two fits": (["score", *PLAIN, "large.npy", "--crop", "--pad"], ["--crop", "--pad"]),
    "fit of an input": (["score", *PLAIN, "--input", "colour.npy", "--pad"], ["--input"]),
    "points of an input": (["score", *PLAIN, "--input", "colour.npy", "--points", 4], ["--input"]),
    "size of nothing": (["score", *PLAIN, "colour.npy", "--size", "0x8"], ["--size", "0x8"]),
    "half a size": (["score", *PLAIN, "colour.npy", "--size", "8x"], ["--size", "8x"]),
    "size in words": (["score", *PLAIN, "colour.npy", "--size", "big"], ["--size", "big"]),
    "scores as a picture": (["score", *PLAIN, "colour.npy", "--output", "p.png"], ["p.png"]),
    "unknown picture": (["sample", *PLAIN, "--output", "p.gif"], ["p.gif", ".png"]),
    "no samples": (["sample", *PLAIN, "--output", "p.png", "--count", 0], ["--count"]),
    "count in words": (["sample", *PLAIN, "--output", "p.png", "--count", "1e3"], ["1e3"]),
    "cold": (["sample", *PLAIN, "--output", "p.png", "--temperature", -1], ["--temperature"]),
    "temperature that is no number":
        (["sample", *PLAIN, "--output", "p.png", "--temperature", "nan"], ["--temperature"]),
    "one end": (["interpolate", *PLAIN, "colour.npy", "--output", "p.png", "--from", 1], ["--to"]),
    "ends and pairs": (["interpolate", *PLAIN, "colour.npy", "--output", "p.png", "--from", 1,
                        "--to", 2, "--pairs", 2], ["--pairs"]),
    "interpolation of nothing": (["interpolate", *PLAIN, "--output", "p.png"], ["DATA"]),
    "reconstruction of nothing": (["reconstruct", *PLAIN], ["DATA"]),
    "training on nothing": (["train", "--run", "refused"], ["DATA"]),
    "training nowhere": (["train", "colour.npy"], ["--run"]),
    "two kinds of test": ([*TRAIN, "--test", "colour.npy", "--held-out", 4], ["--held-out"]),
    "classes twice": ([*TRAIN, "--conditional", "--classes", 3], ["--conditional"]),
    "inexact beginning": ([*TRAIN, "--allow-inexact"], ["--allow-inexact"]),
    "endless rate": ([*TRAIN, "--learning-rate", "inf"], ["--learning-rate", "inf"]),
    "unknown optimizer": ([*TRAIN, "--optimizer", "sgd"], ["--optimizer", "sgd"]),
    "negative threads": (["score", *PLAIN, "colour.npy", "--threads", -1], ["--threads", "-1"]),
    "no levels": ([*TRAIN, "--levels", 0], ["--levels", "0"]),
    "nine bits": ([*TINY, "--bits", 9], ["--bits", "9"]),
    "empty batch": ([*TRAIN, "--batch", 0], ["--batch", "0"]),
    "negative rate": ([*TINY, "--learning-rate", -1], ["--learning-rate", "-1"]),
    "no checkpoint kept": ([*TRAIN, "--keep", 0], ["--keep"]),
}

VALUES = {
    "class of a model without": (["sample", *PLAIN, "--output", "p.png", "--class", 1],
                                 ["--class", "no classes"]),
    "class out of range": (["sample", *BY_CLASS, "--output", "p.png", "--class", 3],
                           ["--class", "2", "3"]),
    "labels of a model without": (["score", *PLAIN, "colour.npy", "--labels", "colour_labels.npy"],
                                  ["colour_labels.npy", "no classes"]),
    "unlabelled images": (["encode", *BY_CLASS, "colour.npy", "--output", "z.npy"],
                          ["colour.npy", "--labels"]),
    "another size than the model's": (["score", *PLAIN, "colour.npy", "--size", 16],
                                      ["--size", "8x8", "16x16"]),
    "first image out of range": (["interpolate", *PLAIN, "colour.npy", "--output", "p.png",
                                  "--from", 40, "--to", 2], ["--from", "39", "40"]),
    "too many pairs": (["interpolate", *PLAIN, "colour.npy", "--output", "p.png", "--pairs", 21],
                       ["--pairs", "20", "21"]),
    "too many levels": ([*TRAIN, "--levels", 4], ["colour.npy", "16", "8x8"]),
    "all held out": ([*TINY, "--held-out", 40], ["--held-out", "40"]),
    "classes of data without": ([*TINY, "--conditional"], ["colour.npy", "--conditional"]),
    "too few classes": ([*TINY, "--labels", "colour_labels.npy", "--classes", 2],
                        ["colour_labels.npy: labels must be below 2", "got 2"]),
    "test of other channels": ([*TINY, "--test", "grey.npy"], ["grey.npy", "3", "1"]),
    "test of another size": ([*TINY, "--test", "large.npy"], ["large.npy", "8", "12"]),
}


class UsageTest(ProgramTest):
    def test_each_misuse_is_told_in_a_line(self):
        for name, (args, words) in USAGE.items():
            with self.subTest(name):
                self.refused(2, args, words + ["--help"])

    def test_each_value_that_fits_no_file_is_told_in_a_line(self):
        for name, (args, words) in VALUES.items():
            with self.subTest(name):
                self.refused(3, args, words)

    def test_more_than_the_machine_has_is_refused_before_it_is_taken(self):
        self.refused(4, ["sample", *PLAIN, "--output", "p.npy", "--count", 10**12],
                     ["--count", "GiB"])

    def test_a_name_with_control_characters_stays_on_one_line(self):
        self.refused(3, ["info", "a\nb\x1b[31m"], [r"a\x0ab\x1b[31m"])

    def test_help_tells_the_defaults_of_each_command(self):
        for command, default in {"train": "0.001", "sample": "64", "score": "uniform",
                                 "encode": "uniform", "decode": "auto", "interpolate": "8",
                                 "reconstruct": "centre", "info": "--json", "toy": "20000"}.items():
            with self.subTest(command):
                result = self.done(command, "--help")
                self.assertIn(default, result.stdout.decode())
                self.assertEqual(result.stderr, b"")

    def test_the_version_is_told(self):
        self.assertRegex(self.done("--version").stdout.decode(), r"\Arheo \d+\.\d+\.\d+\n\Z")
