"""Command lines that must fail, one to a line of a table: its exit code, and what its message must
say. README.md says what the codes mean."""

import json
import os
import shutil
import subprocess

import numpy as np

import program
from program import QUICK, TINY_MODEL, ProgramTest, call, environment

LINES = """
2 | train X --batchs 4                          | --batchs, did you mean --batch?, --help
2 | train X --hiden 4                           | --hiden, did you mean --hidden?
2 | scroe P D                                   | scroe, did you mean score?
2 | interpolat P D                              | did you mean interpolate?
2 | --versoin                                   | did you mean --version?
2 | score P D --nosie centre                    | did you mean --noise?
2 | train X --batch-size 4                      | --batch-size, did you mean --batch?
2 | train X --learn=4                           | --learn; did you mean --learning-rate?
2 | train X --epochs 4                          | no such option: --epochs (see
2 | info plain.safetensors other                | no such argument: other (see
2 | score P D --memory full                     | no such option: --memory (see
2 | qwertyuiop                                  | qwertyuiop, --help
2 | -x                                          | -x, --help
2 | score D --model                             | --model, --help
2 | score P --model by_class.safetensors D      | --model, received 2
2 | train X --flip=maybe                        | --flip, maybe
2 | train X --flip 3                            | 3, --help
2 | train colour.npy grey.npy --run refused     | grey.npy
2 | sample P --output p.png --count EMPTY       | --count, empty, give a value
2 | score P D --output=                         | --output=, empty, give a value
2 | train D --run EMPTY                         | --run, empty
2 | EMPTY                                       | empty
2 | sample P --output p.png --count 010         | 010, decimal
2 | sample P --output p.png --count 0x10        | 0x10
2 | sample P --output p.png --count 1_000       | 1_000
2 | sample P --output p.png --count 1,000       | 1,000
2 | sample P --output p.png --count 99999999999999999999 | 99999999999999999999
2 | sample P --output p.png --seed 1.5          | --seed, 1.5
2 | sample P --output p.png --seed 18446744073709551616  | 18446744073709551616, 2^64
2 | sample P --output p.png --temperature 1,5   | --temperature, 1,5
2 | sample P --output p.png --temperature 1e400 | 1e400
2 | sample P --output p.png --class x           | --class, x
2 | sample P --output p.npy --batch -1          | --batch, -1
2 | sample P --output p.npy --batch 3000000000  | 3000000000
2 | sample P --output p.npy --first -1          | --first, -1
2 | sample P --output p.png --device CPU        | --device, cuda:N, CPU
2 | train X --learning-rate 1e-3x               | --learning-rate, 1e-3x
2 | train X --learning-rate 0x1p-3              | 0x1p-3
2 | train X --batch 99999999999999999999        | --batch, 99999999999999999999
2 | train X --updates 0                         | --updates, got 0
2 | train X --accumulate 0                      | --accumulate
2 | train X --average 1                         | --average, below 1
2 | train X --beta1 -0.1                        | --beta1, -0.1
2 | train X --beta2 1                           | --beta2
2 | train X --epsilon 0                         | --epsilon
2 | train X --clip-norm -1                      | --clip-norm
2 | train X --warmup-images -1                  | --warmup-images
2 | train X --init-images 0                     | --init-images
2 | train X --shift -1                          | --shift
2 | train X --seed -1                           | --seed, -1
2 | train X --loader-threads 65                 | --loader-threads, 65
2 | train X --steps 0                           | --steps, 1..1024
2 | train X --hidden 9000                       | --hidden, 8192
2 | train X --levels 9                          | --levels, 1..8
2 | train X --bits 0                            | --bits, 1..8
2 | train X --classes -1                        | --classes
2 | train X --classes 100000001                 | --classes, 0..100000
2 | train X --hidden 99999999999                | --hidden, below 2^31
2 | train X --updates 99999999999999            | --updates, up to 2^40
2 | train X --model gloww                       | gloww, glow or realnvp
2 | train X --coupling both                     | both, additive
2 | train X --scale loud                        | loud, bounded
2 | train X --permutation none                  | none, shuffle
2 | train X --prior cauchy                      | cauchy, logistic
2 | train X --schedule linear                   | linear, cosine
2 | train X --minutes -1                        | --minutes
2 | train X --minutes nan                       | --minutes, nan
2 | train X --save-every 1e3                    | --save-every, 1e3
2 | train X --validate-every -1                 | --validate-every
2 | train X --validate-images -1                | --validate-images
2 | train X --sample-every -1                   | --sample-every
2 | train X --sample-temperature -1             | --sample-temperature
2 | train X --samples 0                         | --samples
2 | train X --held-out 0                        | --held-out
2 | train X --max-pixels 0                      | --max-pixels
2 | train X --threads 257                       | --threads, 256
2 | train --resume                              | --run, required
2 | toy                                         | KIND, required
2 | toy moons                                   | OUTPUT, required
2 | toy klein t.npy                             | klein, moons
2 | toy moons t.npy --count 0                   | --count
2 | toy moons t.npy --noise -0.5                | --noise
2 | decode P --output x.npy                     | --latents, required
2 | decode P --latents wrong.npy                | --output, required
2 | encode P D                                  | --output, required
2 | encode P D --output z.png                   | z.png, .npy
2 | info                                        | MODEL, required
2 | info plain.safetensors --batch none         | --batch, none
2 | verify                                      | PATH, required
2 | reconstruct P D --count 0                   | --count
2 | interpolate P D --output i.png --steps 1    | --steps, from 2
2 | score P D --output folder                   | folder, .npy
2 | sample P --output /dev/full                 | /dev/full, .png
3 | train nothing.npy --run refused             | nothing.npy, No such file
3 | train folder --run refused                  | folder, must hold PNG or JPEG
3 | train text.txt --run refused                | text.txt, must be
3 | train empty.npy --run refused               | empty.npy, must be
3 | train doubles.npy --run refused             | doubles.npy, must hold, float64
3 | train half.npy --run refused                | half.npy, uint8 [N, float64 [N, got float16
3 | train colour.npy --run refused --levels 4   | multiples of 16, --pad --size 16x16
3 | train D --run text.txt                      | text.txt, must be a folder
3 | train D --run run_plain                     | run_plain, --resume
3 | train --resume --run nothing                | nothing, no run to resume
3 | train X --config nothing.json               | nothing.json, must be a file
3 | train X --config folder                     | folder, must be a file
3 | train X --config array.json                 | array.json, must hold an object
3 | train X --config broken.json                | broken.json, must be JSON
3 | train X --config twice.json                 | twice.json, batch, once
3 | train X --config slip.json                  | slip.json, batchs, did you mean batch?
3 | train X --config model_slip.json            | model_slip.json, hiden, did you mean hidden?
3 | train X --config section.json               | section.json, trian, model, train
3 | train X --config word.json                  | word.json, batch, whole number, eight
3 | train X --config object.json                | object.json, batch, one value
3 | train X --config range.json                 | range.json, batch, got 0
3 | train X --labels nothing.npy                | nothing.npy, No such file
3 | train X --labels short.npy                  | short.npy, 40, 3
3 | train X --labels colour_labels.npy          | colour_labels.npy, give --conditional
3 | train X --labels colour_labels.npy --conditional --test colour.npy | colour.npy, --test-labels
2 | train X --test-labels colour_labels.npy     | --test-labels, --test
3 | sample --model nowhere --output p.png       | nowhere, No such file
3 | train X --test nothing.npy                  | nothing.npy
3 | train X --model nice                        | nice, use --model glow
3 | train X --prior logistic                    | --prior, leave it out
3 | train X --size 7                            | 7x7, crop, pad or resize
3 | score --model nothing D                     | nothing, No such file
3 | score --model folder D                      | folder, must be a regular file
3 | score --model colour.npy D                  | colour.npy, header
3 | score P nothing.npy                         | nothing.npy
3 | score P --input nothing.npy                 | nothing.npy
3 | score P toy:moons                           | toy:moons, must hold images
3 | score P toy:klein                           | toy:klein, moons
3 | decode P --latents wrong.npy --output x.npy | wrong.npy, [N, 192], [2, 7]
3 | decode P --latents nan.npy --output x.npy   | nan.npy, must be finite
3 | decode P --latents D --output x.npy         | colour.npy, must be float32 or float64, got uint8
3 | info nothing                                | nothing, No such file
5 | score P D --output no/where.npy             | no, cannot write
5 | sample P --output no/where.png              | no, cannot write
5 | toy moons no/where.npy                      | no, cannot write
"""

WORDS = {"P": ["--model", "plain.safetensors"], "D": ["colour.npy"], "EMPTY": [""],
         "X": ["colour.npy", "--run", "refused"]}
FILES = {"text.txt": "hello\n", "empty.npy": "", "array.json": "[1]", "broken.json": '{"model": {',
         "twice.json": '{"train": {"batch": 1, "batch": 2}}', "slip.json": '{"train": {"batchs": 4}}',
         "model_slip.json": '{"model": {"hiden": 4}}', "section.json": '{"trian": {}}',
         "word.json": '{"train": {"batch": "eight"}}', "object.json": '{"train": {"batch": {}}}',
         "range.json": '{"train": {"batch": 0}}'}
ARRAYS = {"short.npy": np.zeros(3, np.int32), "wrong.npy": np.zeros((2, 7), np.float32),
          "nan.npy": np.full((2, 192), np.nan, np.float32), "doubles.npy": np.zeros((2, 8, 8, 3)),
          "half.npy": np.zeros((2, 3), np.float16)}


def table():
    for line in LINES.strip().splitlines():
        code, words, told = map(str.strip, line.split("|"))
        args = [arg for word in words.split() for arg in WORDS.get(word, [word])]
        # "1,000" is one word; what is told is parted by a comma and a space
        yield words, int(code), args, told.split(", ")


class CommandLinesTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        (program.FOLDER / "folder").mkdir(exist_ok=True)
        for name, text in FILES.items():
            (program.FOLDER / name).write_text(text)
        for name, array in ARRAYS.items():
            np.save(program.FOLDER / name, array)

    def test_each_fails_as_documented(self):
        for name, code, args, told in table():
            with self.subTest(name):
                self.refused(code, args, told)

    def test_there_are_a_hundred(self):
        self.assertGreaterEqual(len(list(table())), 100)

    def test_where_they_run_changes_nothing(self):
        """No input, no terminal's settings, a narrow terminal, another language."""
        for env in [{"TERM": ""}, {"COLUMNS": "1"}, {"LANG": "C", "LC_ALL": "C"}, {"HOME": "/nowhere"}]:
            self.refused(2, ["scroe"], ["did you mean score?"], env={**environment(), **env},
                         stdin=subprocess.DEVNULL)

    def test_control_characters_of_two_bytes_are_told_as_their_bytes(self):
        self.refused(3, ["info", "a\u009b31mb"], [r"a\xc2\x9b31mb"])

    def test_names_with_control_characters_stay_in_their_line(self):
        model, picture = "m\x1b[31m.safetensors", "p\x7f.png"
        shutil.copy(program.FOLDER / "plain.safetensors", program.FOLDER / model)
        self.addCleanup((program.FOLDER / model).unlink)
        self.addCleanup((program.FOLDER / picture).unlink)
        for args in (["info", model], ["info", model, "--json"], ["verify", model],
                     ["verify", model, "--json"], ["score", "--model", model, "colour.npy"],
                     ["sample", "--model", model, "--output", picture, "--count", 2]):
            with self.subTest(args):
                result = self.done(*args)
                self.assertNotRegex(result.stdout + result.stderr, rb"[\x00-\x09\x0b-\x1f\x7f]")


class OutputTest(ProgramTest):
    SCORE = ["score", "--model", "plain.safetensors", "colour.npy", "--json"]

    def closed(self, args, stream):
        """The exit code where a stream is closed from the beginning."""
        line = " ".join(map(str, [program.PROGRAM, *args]))
        return subprocess.run(["sh", "-c", f"exec {line} {stream}>&-"], cwd=program.FOLDER,
                              env=environment(), capture_output=True, timeout=60)

    def test_results_that_do_not_get_out_are_a_failure(self):
        result = self.closed(self.SCORE, 1)
        self.assertEqual(result.returncode, 5, result.stderr)
        with open("/dev/full", "wb") as full:
            for args in (self.SCORE, ["--help"], ["--version"], ["info", "plain.safetensors"]):
                result = call(*args, stdout=full)
                self.assertEqual(result.returncode, 5, args)
                self.assertIn(b"standard output", result.stderr)

    def test_a_reader_that_leaves_is_a_failure_and_no_signal(self):
        ours, theirs = os.pipe()
        os.close(ours)
        result = call(*self.SCORE, stdout=theirs)
        os.close(theirs)
        self.assertEqual(result.returncode, 5, result.stderr)

    def test_messages_that_nobody_reads_change_no_result(self):
        want = self.done(*self.SCORE).stdout
        result = self.closed(self.SCORE, 2)
        self.assertEqual((result.returncode, result.stdout), (0, want))
        json.loads(result.stdout)

    def test_a_run_does_not_need_its_terminal(self):
        self.addCleanup(shutil.rmtree, program.FOLDER / "unseen", ignore_errors=True)
        args = ["train", "colour.npy", "--run", "unseen", *TINY_MODEL, *QUICK, "--updates", 2]
        self.assertEqual(self.closed(args, 2).returncode, 0)
        self.assertTrue((program.FOLDER / "unseen" / "checkpoints" / "last").exists())
