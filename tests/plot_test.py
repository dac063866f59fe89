"""Tests of scripts/plot: python tests/plot_test.py BUILD/rheo     (exit 77: no matplotlib)"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
PYTHON = "/usr/bin/python3"  # the script's own, which has Debian's matplotlib
RHEO = None
FOLDER = None

PICTURES = {"loss.png", "samples.png", "latents.png", "grid.png", "density.png", "steps.png",
            "steps.gif"}
# What a page bears.
LARGEST = {".png": 200_000, ".gif": 1_500_000}

# The pictures call a latent by the coordinate of the data that it becomes: the state before any
# step is undone is the state after all of them. 1e-4: both go through the flow in float32.
ORDER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, plot_run
run = pathlib.Path(sys.argv[3])
config = plot_run.read_config(run)
flow = plot_run.Flow(sys.argv[2], run, config["model"])
x = plot_run.Data(flow, config, None).points[:100]
end = flow.state_of_data(x, flow.steps)
assert not np.allclose(end[:, 0], end[:, 1], atol=1e-2)
np.testing.assert_allclose(flow.state_of_latents(flow.encode(x), 0), end, atol=1e-4)
np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-4)
"""

# Without noise a point lies on its part, whatever the other one.
PARTS = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, plot_run
t = np.linspace(0, np.pi, 99)
assert plot_run.moon(np.cos(t), np.sin(t)).all()
assert not plot_run.moon(1 - np.cos(t), 0.5 - np.sin(t)).any()
t = 3 * np.pi * np.sqrt(np.linspace(0.01, 1, 99))
assert plot_run.arm(-t * np.cos(t) / 3, t * np.sin(t) / 3).all()
assert not plot_run.arm(t * np.cos(t) / 3, -t * np.sin(t) / 3).any()
r = np.linspace(0.5, 3.5, 99)
for k in range(5):
    t = -(2 * np.pi * k / 5 + np.exp(r / 2) / 4)
    assert (plot_run.blade(r * np.cos(t), r * np.sin(t)) == -k % 5).all()
"""


# Tests on the way were of 5 vectors; what all score is not joined to them.
TESTS = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import plot_loss
records = plot_loss.read(pathlib.Path(sys.argv[2]) / "metrics.jsonl")
(part, line, steps, losses), (all_of_them, mark, end, loss) = plot_loss.tests(records, "nats")
assert part == f"held out, 5 (last {losses[-1]:.3f})" and line == "o-", (part, line)
assert all_of_them == f"held out, all 40 at the end (last {loss[0]:.3f})" and mark == "D", mark
assert (steps, end) == ([10, 20], [20]) and loss[0] != losses[-1], (steps, end, loss, losses)
"""


def plot(*words):
    return subprocess.run([SCRIPTS / "plot", *map(str, words)], cwd=FOLDER, capture_output=True,
                          text=True)


def train(name, data, *words):
    subprocess.run([RHEO, "train", data, "--run", name, "--updates", "20", "--hidden", "16",
                    "--progress", "none", *words], cwd=FOLDER, check=True)


class Plot(unittest.TestCase):
    def done(self, *words):
        result = plot(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split()

    def refused(self, words, *told):
        result = plot(*words)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"\Aplot: [^\n]+\n\Z")
        for word in told:
            self.assertIn(word, result.stderr)

    def runs(self, script, *words):
        result = subprocess.run([PYTHON, "-B", "-c", script, SCRIPTS, *words], cwd=FOLDER,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_picture_of_a_flow_in_the_plane_is_drawn_and_small(self):
        told = self.done("moons", "--rheo", RHEO)
        drawn = sorted((FOLDER / "moons" / "pictures").iterdir())
        self.assertEqual({path.name for path in drawn}, PICTURES)
        self.assertEqual(sorted(told), [str(path.relative_to(FOLDER)) for path in drawn])
        for path in drawn:
            self.assertLess(path.stat().st_size, LARGEST[path.suffix], path)
        self.assertEqual((FOLDER / "moons/pictures/steps.gif").read_bytes()[:6], b"GIF89a")

    def test_other_runs_have_their_loss(self):
        self.assertEqual(self.done("moons", "alone.png"), ["alone.png"])
        self.assertEqual(self.done("line", "--output", "deep/er"), ["deep/er/loss.png"])

    def test_latents_are_in_the_order_of_the_states(self):
        for run in ("moons", "odd"):
            self.runs(ORDER, RHEO, run)

    def test_tests_of_a_part_and_of_all_are_told_apart(self):
        self.runs(TESTS, "moons")

    def test_a_point_belongs_to_its_part(self):
        self.runs(PARTS)

    def test_refusals_are_one_line(self):
        (FOLDER / "empty").mkdir()
        self.refused(["nowhere"], "nowhere")
        self.refused(["empty"], "metrics.jsonl")
        self.refused(["line", "no/such.png"], "no/such.png")

    def test_what_the_program_says_is_passed_on(self):
        for words, told in ((["--rheo", "nothing"], "nothing"),
                            (["--data", "gone.npy", "--rheo", RHEO], "gone.npy")):
            result = plot("moons", *words)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"\Aplot: [^\n]*" + told + r"[^\n]*\n\Z")
        torn = FOLDER / "torn"
        (torn / "checkpoints" / "last").mkdir(parents=True)
        for name in ("config.json", "metrics.jsonl"):
            (torn / name).write_bytes((FOLDER / "moons" / name).read_bytes())
        self.assertIn("no checkpoint yet", plot("torn", "--rheo", RHEO).stderr)
        (torn / "checkpoints" / "last" / "model.safetensors").write_bytes(b"torn")
        self.assertRegex(plot("torn", "--rheo", RHEO).stderr, r"\Aplot: rheo: [^\n]+\n\Z")


def main():
    global RHEO, FOLDER
    if subprocess.run([PYTHON, "-c", "import matplotlib"], capture_output=True).returncode:
        print("plot_test: matplotlib is not installed: apt-get install python3-matplotlib")
        sys.exit(77)
    RHEO = str(pathlib.Path(sys.argv.pop(1)).resolve())
    with tempfile.TemporaryDirectory(prefix="rheo-plot-test-") as folder:
        FOLDER = pathlib.Path(folder)
        train("moons", "toy:moons", "--held-out", "40", "--validate-every", "10",
              "--validate-images", "5")
        train("odd", "toy:moons", "--steps", "3")
        script = "import numpy; numpy.save('line.npy', numpy.random.normal(size=(300, 1)))"
        subprocess.run([PYTHON, "-c", script], cwd=FOLDER, check=True)
        train("line", "line.npy", "--model", "maf")
        unittest.main()


main()
