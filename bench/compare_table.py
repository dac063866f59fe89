#!/usr/bin/env python3
"""The table of what bench/compare measured, with its bars.

    compare_table.py FILE.json ...     (exits with 1 where a bar is missed)
"""

import dataclasses
import json
import statistics
import sys

from results_table import MEMORY, table, training_flops, verdict


@dataclasses.dataclass(frozen=True)
class Work:
    """What is measured, and the least ratio to PyTorch's best mode; `share` is of the product rate."""

    title: str
    kind: str
    model: str
    precision: str
    batch: int
    ratio: float
    ratio_with_amx: float = 0.0
    share: float = 0.0

    @property
    def row(self):
        memory = "/full" if self.kind == "train" else ""
        return f"{self.kind}/cpu/{self.model}/{self.precision}{memory}/N:{self.batch}"

    def bar(self, amx):
        return max(self.ratio, self.ratio_with_amx if amx else 0)

    def flops(self):
        """Of an image of the paper's model."""
        return training_flops() / (1 if self.kind == "train" else 3)


WORKS = {
    "sample": Work("sampling, batch 16", "sample", "paper", "bf16", 16, 1.4, 2.5, 0.80),
    "score": Work("scoring, batch 16", "score", "paper", "bf16", 16, 1.4, 2.5, 0.80),
    "latency": Work("one sample", "sample", "paper", "bf16", 1, 4.0),
    "train": Work("training, batch 16", "train", "paper", "bf16", 16, 1.4, 2.5, 0.65),
    "small": Work("training, small model, batch 32", "train", "small", "bf16", 32, 2.0),
    "f32-train": Work("training in f32, batch 16", "train", "paper", "f32", 16, 1.2),
    "f32-sample": Work("sampling in f32, batch 16", "sample", "paper", "f32", 16, 1.2),
}
FEW, MANY = 8, 32  # images in a batch, whose difference gives the memory of one more


def medians(result):
    """(rheo's seconds, {mode: seconds} of PyTorch, the same of normflows)."""
    times = {name: statistics.median(values) for name, values in result["seconds"].items()
             if len(values) == result["rounds"]}

    def of(library):
        return {name.partition("/")[2]: value for name, value in times.items()
                if name.startswith(library + "/")}

    return times.get("rheo"), of("torch"), of("normflows")


def best(times):
    """(mode, seconds) of the fastest."""
    return min(times.items(), key=lambda pair: pair[1], default=("none", None))


def speed(work, seconds):
    if seconds is None:
        return "-"
    return f"{1e3 * seconds:.1f} ms" if work.batch == 1 else f"{work.batch / seconds:.1f} images/s"


def judged(title, cells, value, bar, shown):
    return [title, *cells, shown(value), shown(bar) if bar else "",
            verdict(value >= bar) if bar else ""]


def missing(title, own, peer):
    """A row of what could not be measured on one side, which meets no bar."""
    return [title, own, peer, "-", "-", "", verdict(False)]


def times_over(value):
    return f"{value:.2f}x"


def percent(value):
    return f"{value:.0%}"


def work_rows(work, result, amx):
    own, torch, normflows = medians(result)
    mode, peer = best(torch)
    other_mode, other = best(normflows)
    if own is None or peer is None:
        yield missing(work.title, speed(work, own), speed(work, peer))
        return
    cells = [speed(work, own), f"{speed(work, peer)} ({mode})",
             f"{speed(work, other)} ({other_mode})" if other else "-"]
    yield judged(work.title, cells, peer / own, work.bar(amx), times_over)
    rates = result["product_GFLOPs"].get(work.precision)
    if rates and work.model == "paper" and work.batch > 1:
        rate = statistics.median(rates)
        share = work.batch / own * work.flops() / 1e9 / rate
        cells = [f"{share * rate:.0f} GFLOP/s", f"product rate {rate:.0f} GFLOP/s", "-"]
        yield judged(f"{work.title}: share of the product rate", cells, share, work.share, percent)


def of_further_image(peaks):
    """MB; None where a batch could not be measured."""
    if not peaks or None in peaks.values():
        return None
    return (peaks[str(MANY)] - peaks[str(FEW)]) / (MANY - FEW) / 1e6


def megabytes(value):
    return "-" if value is None else f"{value:.2f} MB"


def memory_rows(memory):
    peer, other = (of_further_image(memory.get(name)) for name in ("torch", "normflows"))
    for mode, bar in MEMORY.items():
        own, title = of_further_image(memory.get(mode)), f"memory of a further image in training, {mode}"
        if not own or not peer:
            yield missing(title, megabytes(own), megabytes(peer))
            continue
        cells = [megabytes(own), f"{megabytes(peer)} ({memory['torch_mode']})",
                 f"{megabytes(other)} ({memory['normflows_mode']})" if other else "-"]
        yield judged(title, cells, peer / own, bar, times_over)


def rows(document):
    amx = "amx_bf16" in document["machine"]["instruction sets"]
    for name, result in document["works"].items():
        yield from work_rows(WORKS[name], result, amx)
    if "memory" in document:
        yield from memory_rows(document["memory"])


def show(document):
    """Prints all; whether every bar was met and nothing failed."""
    machine = document["machine"]
    print(f"{machine['cores']} cores of {machine['cpu']} ({', '.join(machine['instruction sets'])}), "
          f"{machine['memory_GB']} GB; {machine['rheo']} at {machine['commit']}, PyTorch "
          f"{document['versions']['torch']}, normflows {document['versions']['normflows']}; "
          f"{machine['date']}; medians of {document['rounds']} rounds\n")
    found = list(rows(document))
    table(("work", "rheo", "PyTorch, best mode", "normflows", "ratio", "bar", ""), found)
    print("normflows has a Glow of the same sizes, but not the same weights: its time and memory only.")
    for failure in document["failures"]:
        print(f"- failed: {failure}")
    for note in document["notes"]:
        print(f"- {note}")
    return not document["failures"] and all(row[-1] != verdict(False) for row in found)


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    good = True
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            good &= show(json.load(file))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
