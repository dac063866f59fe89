#!/usr/bin/env python3
"""The tables of docs/results.md from files that bench/gpu_check left.

    results_table.py gpu_PART.json ...     (exits with 1 where a bar is missed)

A ratio takes both of its numbers from one file, that is from one run. PyTorch stands in each form
of bench/peers/glow.py, and each is judged.
"""

import json
import sys

LEVELS, STEPS, HIDDEN, SIZE, CHANNELS = 3, 32, 512, 32, 3  # of the paper's CIFAR-10 model
SCORE_TOLERANCE = 1e-4
COPY_SHARE, PEAK_SHARE, SAMPLE_MS = 0.80, 0.55, 2.0
MEMORY = {"full": 2, "state": 15, "invert": 30}
MODEL = "cuda:0/paper/bf16"


def training_flops():
    """Of an image, a multiply-add counted as two; backward twice forward."""
    total = 0
    for level in range(1, LEVELS + 1):
        channels = CHANNELS * 2 ** (level + 1)
        network = 9 * channels // 2 * HIDDEN + HIDDEN**2 + 9 * HIDDEN * channels
        split = 9 * channels // 2 * channels if level < LEVELS else 0
        total += (SIZE >> level) ** 2 * (STEPS * (network + channels**2) + split)
    return 3 * 2 * total


class Run:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.facts = json.load(file)
        self.values = {(row["what"], row["unit"]): row["value"] for row in self.facts["rows"]}

    def value(self, what, unit):
        return self.values.get((what, unit))

    def torch(self, work, unit, suffix=""):
        """(mode/form, value) of a peer's rows of one work."""
        for (what, row_unit), value in self.values.items():
            words = what.split("/")
            fits = words[:2] == ["torch", work] and words[4:5] == ["bf16"]
            if fits and row_unit == unit and "/".join(words[5:]) == suffix:
                yield "/".join(words[2:4]), value


def shown(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def against(run, work, unit, suffix, own, bars, better):
    """Rows of a table: rheo's value against each peer's; bars = {mode: least ratio}."""
    for peer, value in sorted(run.torch(work, unit, suffix)):
        if own is None:
            continue
        ratio = own / value if better == "more" else value / own
        yield (f"{work} {suffix}".strip(), f"{shown(own)} {unit}", f"{shown(value)} {unit}", peer,
               ratio, bars.get(peer.split("/")[0]))


def speed(run):
    for batch, bars in ((64, {"eager": 5}), (512, {"eager": 3, "compiled": 2})):
        own = run.value(f"rheo/train/{MODEL}/full/N:{batch}", "images/s")
        yield from against(run, "train", "images/s", f"N:{batch}", own, bars, "more")
    for batch, bars in ((1, {"eager": 8}), (64, {})):
        own = run.value(f"rheo/sample/{MODEL}/N:{batch}", "ms")
        yield from against(run, "sample", "ms", f"N:{batch}", own, bars, "less")


def memory(run):
    for mode, bar in MEMORY.items():
        own = run.value(f"rheo/memory/{MODEL}/{mode}", "MB/image")
        for _, ours, theirs, peer, ratio, least in against(
                run, "memory", "MB/image", "", own, {"eager": bar, "compiled": bar}, "less"):
            yield f"memory, {mode}", ours, theirs, peer, ratio, least


def shares(run):
    """(what, value, bar, whether met) that need no peer."""
    images = run.value(f"rheo/train/{MODEL}/full/N:512", "images/s")
    peak = run.value("torch/product/bf16", "TFLOP/s")
    if images and peak:
        share = images * training_flops() * 1e-12 / peak
        yield ("training, batch 512, of the time at cuBLAS' peak", f"{share:.0%} of {peak:.0f} TFLOP/s",
               f"at least {PEAK_SHARE:.0%}", share >= PEAK_SHARE)
    sample = run.value(f"rheo/sample/{MODEL}/N:1", "ms")
    if sample:
        yield "one sample", f"{sample:.2f} ms", f"under {SAMPLE_MS:.0f} ms", sample < SAMPLE_MS
    for (what, unit), value in sorted(run.values.items()):
        if unit == "of_copy" and what.startswith("rheo/step_") and "/N:512/" in what:
            yield (what.removeprefix("rheo/"), f"{value:.0%} of copy", f"at least {COPY_SHARE:.0%}",
                   value >= COPY_SHARE)
    passed, failed = (run.value(f"tests/golden/{end}", "tests") for end in ("passed", "failed"))
    if passed is not None:
        yield ("golden cases on the GPU", f"{passed} tests passed, {failed} failed",
               "all pass", passed > 0 and failed == 0)
    difference = run.value("rheo/score/difference", "bits/dim")
    if difference is not None:
        yield ("bits/dim, CPU against GPU", f"{difference:.1e} apart",
               f"within {SCORE_TOLERANCE:.0e}", difference <= SCORE_TOLERANCE)


def table(head, rows):
    if rows:
        print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print()


def verdict(met):
    return "pass" if met else "miss"


def show(path):
    run = Run(path)
    facts = {key: run.facts.get(key) for key in ("gpu", "driver", "cuda", "rheo", "torch", "date")}
    print(f"{run.facts.get('part', path)}: " +
          ", ".join(f"{key} {value}" for key, value in facts.items() if value) + "\n")
    compared = [*speed(run), *memory(run)]
    table(("work", "rheo", "PyTorch", "mode/form", "ratio", "bar", ""),
          [(what, ours, theirs, peer, f"{ratio:.2f}", f"{bar}" if bar else "",
            verdict(ratio >= bar) if bar else "")
           for what, ours, theirs, peer, ratio, bar in compared])
    alone = list(shares(run))
    table(("what", "measured", "bar", ""),
          [(what, value, bar, verdict(met)) for what, value, bar, met in alone])
    failures = run.facts["failures"]
    for failure in failures:
        print(f"- failed: {failure}")
    missed = [row for row in compared if row[5] and row[4] < row[5]]
    return not (missed or failures or any(not met for *_, met in alone))


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    return 0 if all([show(path) for path in sys.argv[1:]]) else 1


if __name__ == "__main__":
    sys.exit(main())
