"""The loss curve of a run."""

import json
import math
import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from plot_run import fail

# Okabe and Ito's, which colour-blind people tell apart; they differ in lightness too.
TRAIN_COLOUR, TEST_COLOUR = "#0072B2", "#D55E00"
# What a record calls its loss, and what a picture does.
LOSSES = {"nats": "$-\\log\\,p$ in nats a vector", "bits_per_dim": "bits per dimension"}


def read(path):
    """Records of a metrics file, a torn last line left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                fail(f"{path}: line {number} is not JSON")
    return records


def series(records, loss):
    """Steps and finite losses; of two records for one step the later counts."""
    points = {r["step"]: r[loss] for r in records}
    points = {step: y for step, y in points.items() if y is not None and math.isfinite(y)}
    return sorted(points), [points[step] for step in sorted(points)]


def smooth(values):
    """Medians over a sliding window of a fiftieth of the curve, narrower where the curve begins:
    one update gone astray, which may be thousands of bits off, does not carry the line away."""
    half = len(values) // 100
    return [
        statistics.median(values[max(i - half, 0) : min(2 * i + 1, i + half + 1)])
        for i in range(len(values))
    ]


def limits(train, test):
    """Of the vertical axis: the first updates, many bits worse than the rest, may leave it."""
    usual = sorted(train)[: max(1, int(0.95 * len(train)))]
    low, high = min(usual + test), max(usual + test)
    room = 0.08 * (high - low) or 0.1
    return low - room, high + room


def tests(records, loss):
    """Losses of the tests on the way, often of a part, and of those of all at the end, each with its
    name and look: a part scores otherwise than all, so no line may join the two."""
    held_out = [r for r in records if r.get("split") == "test"]
    kinds = [("held out, {:,}", [r for r in held_out if not r.get("final")], "o-"),
             ("held out, all {:,} at the end", [r for r in held_out if r.get("final")], "D")]
    for name, part, look in kinds:
        steps, losses = series(part, loss)
        if steps:
            yield f"{name.format(part[-1]['images'])} (last {losses[-1]:.3f})", look, steps, losses


def curve(title, unit, train, test, output):
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, constrained_layout=True)
    axes.plot(*train, color=TRAIN_COLOUR, alpha=0.25, linewidth=0.8, label="training, each update")
    axes.plot(train[0], smooth(train[1]), color=TRAIN_COLOUR, linewidth=2,
              label="training, smoothed")
    tested = []
    for label, look, steps, losses in test:
        axes.plot(steps, losses, look, color=TEST_COLOUR, markersize=7, linewidth=1.5, label=label,
                  markerfacecolor="white" if look == "D" else TEST_COLOUR, zorder=3)
        tested += losses
    axes.set(xlabel="updates", ylabel=unit, title=title, ylim=limits(train[1], tested))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    try:
        figure.savefig(output)
    except ValueError as error:  # an ending that stands for no format
        fail(f"{output}: {error}")
    plt.close(figure)


def draw(run, output):
    records = read(run / "metrics.jsonl")
    loss = "nats" if any("nats" in r for r in records) else "bits_per_dim"
    train = series([r for r in records if r.get("split") == "train"], loss)
    if not train[0]:
        fail(f"{run}/metrics.jsonl: no training record")
    curve(run.resolve().name, LOSSES[loss], train, tests(records, loss), output)
    return output
