"""stdout, stderr and terminals."""

import os
import pty
import shutil
import subprocess

import program
from program import QUICK, TINY_MODEL, ProgramTest, environment

SCORE = ["score", "--model", "plain.safetensors", "colour.npy", "--progress", "none"]


class StreamsTest(ProgramTest):
    def test_a_full_stdout_is_an_error(self):
        for args in [["--help"], SCORE, ["info", "plain.safetensors", "--json"]]:
            with self.subTest(args), open("/dev/full", "wb") as full:
                self.refused(5, args, ["standard output", "space"], stdout=full)

    def test_a_closed_stdout_is_an_error(self):
        self.refused(5, SCORE, ["standard output"], preexec_fn=lambda: os.close(1), stdout=None)

    def test_a_broken_pipe_is_an_error(self):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            self.refused(5, SCORE, ["standard output", "pipe"], stdout=writer)
        finally:
            os.close(writer)

    def test_without_results_a_closed_stdout_is_none(self):
        self.done("sample", "--model", "plain.safetensors", "--count", 1, "--output", "x.npy",
                  preexec_fn=lambda: os.close(1), stdout=None)

    def test_results_are_alone_on_stdout(self):
        self.assertEqual(self.done(*SCORE, "--json").stdout.count(b"\n"), 1)
        self.assertEqual(self.done(*SCORE, "--json").stderr, b"")


class ProgressTest(ProgramTest):
    def setUp(self):
        self.addCleanup(shutil.rmtree, program.FOLDER / "watched", ignore_errors=True)

    ARGS = ["train", "colour.npy", "--run", "watched", *TINY_MODEL, *QUICK, "--minutes", "0.02"]

    def on_a_terminal(self, *args, **env):
        """What a person would see; stderr is a terminal."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([program.PROGRAM, *self.ARGS, *args], stderr=theirs,
                                   stdout=subprocess.PIPE, cwd=program.FOLDER,
                                   env={**environment(), **env})
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:
            pass  # a terminal without a program at its other end
        os.close(ours)
        process.communicate()
        self.assertEqual(process.returncode, 0, seen)
        shutil.rmtree(program.FOLDER / "watched")
        return seen.replace(b"\r\n", b"\n")

    def test_a_terminal_gets_a_bar(self):
        seen = self.on_a_terminal()
        self.assertIn(b"\r[", seen)
        for words in [b"bits/dim", b"images/s", b"ETA"]:
            self.assertIn(words, seen)
        self.assertNotIn(b"\x1b", seen.split(b"\x1b[K")[-1])

    def test_no_bar_where_it_is_unwelcome(self):
        for env in [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}]:
            with self.subTest(env):
                seen = self.on_a_terminal(**env)
                self.assertNotIn(b"\r", seen)
                self.assertNotIn(b"\x1b", seen)

    def test_a_file_gets_plain_lines(self):
        text = self.done(*self.ARGS).stderr
        self.assertNotIn(b"\r", text)
        self.assertNotIn(b"\x1b", text)
        self.assertIn(b"8x8x3", text)
        self.assertIn(b"parameters", text)
        self.assertRegex(text, rb"memory \d+ MB: weights \d+, optimiser \d+, activations \d+, ")

    def test_none_is_silent(self):
        self.assertEqual(self.done(*self.ARGS, "--progress", "none").stderr, b"")
