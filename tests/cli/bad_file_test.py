"""Files that are missing, damaged, hostile or of the wrong kind: exit code 3, or 5 for the disk."""

import json
import resource
import shutil
import struct

import numpy as np

import program
from program import QUICK, TINY_MODEL, ProgramTest, idx, join_safetensors, png, split_safetensors

PLAIN = ["--model", "plain.safetensors"]
BY_CLASS = ["--model", "by_class.safetensors"]
STEP = "levels.0.steps.0."


def changed_header(change):
    """plain.safetensors with another header."""
    header, tail = split_safetensors((program.FOLDER / "plain.safetensors").read_bytes())
    change(header)
    return join_safetensors(header, tail)


def changed_tensor(name, values):
    header, tail = split_safetensors((program.FOLDER / "plain.safetensors").read_bytes())
    begin, end = header[name]["data_offsets"]
    assert len(values) == end - begin
    return join_safetensors(header, tail[:begin] + values + tail[end:])


def other_config(**changes):
    def change(header):
        config = {**json.loads(header["__metadata__"]["config"]), **changes}
        header["__metadata__"]["config"] = json.dumps(config)
    return changed_header(change)


def bad_models():
    whole = (program.FOLDER / "plain.safetensors").read_bytes()
    nan = struct.pack("<f", float("nan"))
    return {
        "empty": b"",
        "seven bytes": whole[:7],
        "cut in the header": whole[:100],
        "cut in the data": whole[:-4],
        "longer than it says": whole + b"\0" * 4,
        "endless header": struct.pack("<Q", 2**63) + whole[8:],
        "no JSON": struct.pack("<Q", 8) + b"{\"a\": 1," + whole[8:],
        "unknown format": changed_header(lambda h: h["__metadata__"].update(format="pt")),
        "later version": changed_header(lambda h: h["__metadata__"].update(version="2")),
        "no config": changed_header(lambda h: h["__metadata__"].pop("config")),
        "unknown config key": other_config(dropout=1),
        "another config": other_config(hidden=9),
        "config of a giant": other_config(hidden=10**9),
        "unknown tensor": changed_header(lambda h: h.update({"w": h.pop("prior.mean")})),
        "wrong type": changed_header(lambda h: h["prior.mean"].update(dtype="I32")),
        "offsets outside": changed_header(
            lambda h: h["prior.mean"].update(data_offsets=[2**40, 2**40 + 4])),
        "negative shape": changed_header(lambda h: h["prior.mean"].update(shape=[-1])),
        "no permutation": changed_tensor(STEP + "invconv.permutation", b"\0" * 48),
        "sign of zero": changed_tensor(STEP + "invconv.sign", b"\0" * 48),
        "not a number": changed_tensor(STEP + "actnorm.bias", nan * 12),
    }


def npy(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def described(descr, order, shape):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"


def bad_data():
    folder = program.FOLDER
    whole = (folder / "colour.npy").read_bytes()
    image = png(np.zeros((8, 8, 3), np.uint8))
    return {
        "empty.npy": b"",
        "cut.npy": whole[:-1],
        "no_header.npy": whole[:20],
        "giant.npy": npy(described("|u1", False, (2**40, 8, 8, 3))),
        "overflow.npy": npy(described("|u1", False, (2**62, 8, 8, 3))),
        "object.npy": npy(described("|O", False, (1, 8, 8, 3)), b"\0" * 192),
        "fortran.npy": npy(described("|u1", True, (1, 8, 8, 3)), b"\0" * 192),
        "flat.npy": npy(described("|u1", False, (192,)), b"\0" * 192),
        "none.npy": npy(described("|u1", False, (0, 8, 8, 3))),
        "cut-idx3-ubyte": idx(np.zeros((4, 8, 8), np.uint8))[:-1],
        "giant-idx3-ubyte": struct.pack(">HBBIII", 0, 8, 3, 2**31, 2**31, 2**31),
        "cut-idx3-ubyte.gz": (folder / "faces-idx3-ubyte.gz").read_bytes()[:-20],
        "data_batch_1.bin": b"\0" * 3000,
        "cut.png": image[:-20],
        "flipped.png": image[:45] + bytes([image[45] ^ 255]) + image[46:],
        "giant.png": png(np.zeros((1, 1, 1), np.uint8)).replace(
            struct.pack(">II", 1, 1), struct.pack(">II", 60000, 60000)),
        "broken.jpg": b"\xff\xd8\xff\xe0" + b"\0" * 100,
        "words.txt": b"no image\n",
    }


class BadFileTest(ProgramTest):
    def setUp(self):
        self.folder = program.FOLDER / "bad"
        self.folder.mkdir()
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, data):
        (self.folder / name).write_bytes(data)
        return f"bad/{name}"

    def save(self, name, array):
        np.save(self.folder / name, array)
        return f"bad/{name}"

    def test_each_damaged_model_is_named(self):
        for name, data in bad_models().items():
            with self.subTest(name):
                self.write("m.safetensors", data)
                self.refused(3, ["info", "bad/m.safetensors"], ["bad/m.safetensors"])
                self.refused(3, ["sample", "--model", "bad/m.safetensors", "--output", "p.png"],
                             ["bad/m.safetensors"])

    def test_a_model_that_is_no_file_is_named(self):
        for path in ["missing.safetensors", "bad", "/dev/null"]:
            with self.subTest(path):
                self.refused(3, ["info", path], [path])

    def test_each_damaged_data_set_is_named(self):
        for name, data in bad_data().items():
            with self.subTest(name):
                path = self.write(name, data)
                self.refused(3, ["score", *PLAIN, path], [name])
                self.refused(3, ["train", path, "--run", "refused", *TINY_MODEL, *QUICK], [name])

    def test_data_that_are_not_there_are_named(self):
        (self.folder / "nothing").mkdir()
        for path in ["missing", "bad/nothing"]:
            with self.subTest(path):
                self.refused(3, ["score", *PLAIN, path], [path])

    def test_one_bad_image_in_a_folder_is_named(self):
        shutil.copytree(program.FOLDER / "classes", self.folder / "classes")
        (self.folder / "classes" / "b" / "3.png").write_bytes(png(np.zeros((8, 9, 3), np.uint8)))
        self.refused(3, ["score", *PLAIN, "bad/classes"], ["classes/b/3.png", "8", "9"])

    def test_images_that_do_not_fit_the_model_are_refused(self):
        self.refused(3, ["score", *PLAIN, "large.npy"], ["large.npy", "8", "12"])
        self.refused(3, ["score", *PLAIN, "grey.npy"], ["grey.npy", "3", "1"])

    def test_each_wrong_input_array_is_named(self):
        good = np.zeros((2, 8, 8, 3), np.float32)
        nan = good.copy()
        nan[1, 3, 2, 0] = np.nan
        for name, array, words in [
                ("whole", good.astype(np.int64), ["float64", "got int64"]),
                ("half", good.astype(np.float16), ["float32", "got float16"]),
                ("wide", good.astype(np.float64) + 1e300, ["inf", "image 0"]),
                ("nan", nan, ["nan", "image 1"]),
                ("size", good[:, :4], ["[N, 8, 8, 3]", "[2, 4, 8, 3]"]),
                ("flat", good.reshape(2, -1), ["[2, 192]"]), ("none", good[:0], ["[0, 8, 8, 3]"])]:
            with self.subTest(name):
                path = self.save(f"{name}.npy", array)
                for command in ["score", "encode"]:
                    self.refused(3, [command, *PLAIN, "--input", path, "--output", "o.npy"],
                                 [path, *words])

    def test_each_wrong_latent_array_is_named(self):
        good = np.zeros((2, 192), np.float32)
        for name, array, words in [("long", np.zeros((2, 193), np.float32), ["192", "[2, 193]"]),
                                   ("whole", good.astype(np.int64), ["float64", "got int64"]),
                                   ("half", good.astype(np.float16), ["float32", "got float16"]),
                                   ("wide", good.astype(np.float64) + 1e300, ["inf", "row 0"]),
                                   ("inf", good + np.inf, ["inf", "row 0"]),
                                   ("images", good.reshape(2, 8, 8, 3), ["[2, 8, 8, 3]"])]:
            with self.subTest(name):
                path = self.save(f"{name}.npy", array)
                self.refused(3, ["decode", *PLAIN, "--latents", path, "--output", "o.npy"],
                             [path, *words])

    def test_each_wrong_label_array_is_named(self):
        self.save("two.npy", np.zeros((2, 8, 8, 3), np.float32))
        for name, array, words in [("three", np.array([0, 1, 2]), ["2", "3"]),
                                   ("high", np.array([0, 3]), ["2", "3", "image 1"]),
                                   ("below", np.array([0, -1]), ["-1"]),
                                   ("real", np.array([0., 1.]), ["integer"])]:
            with self.subTest(name):
                path = self.save(f"{name}.npy", array)
                self.refused(3, ["score", *BY_CLASS, "--input", "bad/two.npy", "--labels", path],
                             [path, *words])

    def test_a_label_of_no_class_is_told_of_the_file_that_it_is_in(self):
        self.write("a-images-idx3-ubyte", idx(np.zeros((4, 8, 8), np.uint8)))
        self.write("a-labels-idx1-ubyte", idx(np.array([0, 1, 9, 2], np.uint8)))
        train = ["train", "bad/a-images-idx3-ubyte", "--run", "refused", *TINY_MODEL, *QUICK,
                 "--classes", 5]
        for more in [], ["--held-out", 1], ["--test", "bad/a-images-idx3-ubyte"]:
            self.refused(3, [*train, *more],
                         ["bad/a-labels-idx1-ubyte: labels must be below 5", "got 9"])

    def test_latents_of_a_model_with_classes_need_labels(self):
        path = self.save("z.npy", np.zeros((2, 192), np.float32))
        self.refused(3, ["decode", *BY_CLASS, "--latents", path, "--output", "o.npy"],
                     [path, "--labels"])

    def test_each_wrong_config_file_is_named(self):
        for text, words in [("{", ["JSON"]), ("[]", ["object"]), ('{"modle": {}}', ["modle"]),
                            ('{"model": {"hiden": 8}}', ["hiden"]), ('{"train": 3}', ["train"]),
                            ('{"train": {"batch": 4, "batch": 8}}', ["batch", "twice"]),
                            ('{"train": {"batch": "many"}}', ["batch"]),
                            ('{"train": {"batch": {"a": 1}}}', ["batch", "object"]),
                            ('{"run": ' + "[" * 200000 + "]" * 200000 + "}", ["32 deep"]),
                            ('{"run":' * 100000 + "1" + "}" * 100000, ["32 deep"]),
                            ('{"model": {"height": 16}}', ["height", "16", "8"])]:
            with self.subTest(text[:80]):
                path = self.write("c.json", text.encode())
                self.refused(3, ["train", "colour.npy", "--run", "refused", "--config", path,
                                 *TINY_MODEL[:2]], words)
        self.refused(3, ["train", "colour.npy", "--run", "refused", "--config", "bad/none.json"],
                     ["bad/none.json"])

    def test_outputs_that_cannot_be_written_are_an_error_of_the_disk(self):
        sample = ["sample", *PLAIN, "--count", 4, "--output"]
        for path in ["missing/p.png", "plain.safetensors/p.png", "/proc/p.png"]:
            with self.subTest(path):
                self.refused(5, [*sample, path], [path.rsplit("/", 1)[0]])
        (self.folder / "p.png").mkdir()
        self.refused(5, [*sample, "bad/p.png"], ["bad/p.png"])
        self.refused(5, ["train", "colour.npy", "--run", "plain.safetensors/run", *TINY_MODEL,
                         *QUICK], ["plain.safetensors"])

    def test_a_full_disk_is_an_error_and_leaves_nothing(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        self.refused(5, ["encode", *PLAIN, "colour.npy", "--output", "z.npy"], ["z.npy"],
                     preexec_fn=limit)
        self.refused(5, ["sample", *PLAIN, "--count", 400, "--output", "x.npy"], ["x.npy"],
                     preexec_fn=limit)
