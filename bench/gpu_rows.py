#!/usr/bin/env python3
"""Merges what the commands of bench/gpu_check left in a folder into one JSON file.

    gpu_rows.py FOLDER OUT.json       (exits with 1 where a command, a test or a row failed)

FOLDER holds `facts` (KEY VALUE), `commands` (NAME STATUS SECONDS, tabs between) and, by what was
run: *.json of Google Benchmark, GoogleTest and torch_glow.py, *.used with samples of the GPU's
memory in MiB, score_*.log. OUT.json: the facts, "commands", "failures" (texts) and "rows", each
{"what", "value", "unit"}.
"""

import json
import pathlib
import re
import sys

# Of Google Benchmark's own; every other number in a row is a counter of ours.
OWN = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads",
       "iterations", "real_time", "cpu_time"}
SUFFIXES = re.compile(r"/(iterations:\d+|real_time|manual_time|process_time)(?=/|$)")
MIB = 2**20
SCORE_TOLERANCE = 1e-4  # bits/dim between CPU and GPU


def row(what, value, unit):
    return {"what": what, "value": value, "unit": unit}


def benchmark_rows(document, failures):
    for entry in document["benchmarks"]:
        what = "rheo/" + SUFFIXES.sub("", entry["name"])
        if entry.get("error_occurred"):
            failures.append(f"{what}: {entry['error_message']}")
            continue
        yield row(what, entry["real_time"], entry["time_unit"])
        for name, value in entry.items():
            if name not in OWN and isinstance(value, (int, float)):
                yield row(what, value, name)


def test_rows(document, suite, failures):
    tests = [test for part in document["testsuites"] for test in part["testsuite"]]
    failed = [test for test in tests if test.get("failures")]
    ran = [test for test in tests if test.get("result") == "COMPLETED"]
    failures.extend(f"{test['classname']}.{test['name']} failed" for test in failed)
    if not ran:
        failures.append(f"{suite}: no test ran on the GPU")
    yield row(f"{suite}/passed", len(ran) - len(failed), "tests")
    yield row(f"{suite}/failed", len(failed), "tests")
    if suite != "tests":
        return
    golden = [test for test in ran if re.search("golden", test["classname"] + test["name"], re.I)]
    yield row("tests/golden/passed", sum(not test.get("failures") for test in golden), "tests")
    yield row("tests/golden/failed", sum(bool(test.get("failures")) for test in golden), "tests")


def file_rows(path, facts, failures):
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        failures.append(f"{path.name}: is cut short")
        return []
    if "benchmarks" in document:
        return list(benchmark_rows(document, failures))
    if "testsuites" in document:
        return list(test_rows(document, path.stem, failures))
    facts["torch"] = document["torch"]
    return document["rows"]


def own_test_rows(folder, failures):
    """Of rheo_tests, which ran once for each suite."""
    suites = []
    for path in sorted(folder.glob("gtest_*.json")):
        try:
            suites += json.loads(path.read_text(encoding="utf-8"))["testsuites"]
        except ValueError:
            failures.append(f"{path.name}: is cut short")
    ran = (folder / "list.log").exists()
    return list(test_rows({"testsuites": suites}, "tests", failures)) if ran else []


def memory_rows(folder, failures):
    """What an image more takes, of two batch sizes; whatever else is in use cancels."""
    peaks = {}
    for path in sorted(folder.glob("memory_*.used")):
        _, memory, batch = path.stem.split("_")
        samples = [int(word) for word in path.read_text(encoding="utf-8").split() if word.isdigit()]
        if not samples:
            failures.append(f"{path.stem}: nvidia-smi gave no sample of the memory in use")
        else:
            peaks.setdefault(memory, {})[int(batch)] = max(samples) * MIB
    for memory, peak in peaks.items():
        if len(peak) == 2:
            few, many = sorted(peak)
            more = (peak[many] - peak[few]) / (many - few)
            yield row(f"rheo/memory/cuda:0/paper/bf16/{memory}", more / 1e6, "MB/image")


def score_rows(folder, failures):
    scores = {}
    for path in sorted(folder.glob("score_*.log")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                scores[path.stem.removeprefix("score_")] = json.loads(line)["bits_per_dim"]
    for device, score in scores.items():
        yield row(f"rheo/score/{device}", score, "bits/dim")
    if len(scores) == 2:
        difference = abs(scores["cpu"] - scores["cuda"])
        yield row("rheo/score/difference", difference, "bits/dim")
        if not difference <= SCORE_TOLERANCE:
            failures.append(f"bits/dim of CPU and GPU differ by {difference:.1e}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(pathlib.Path, sys.argv[1:])
    lines = (folder / "facts").read_text(encoding="utf-8").splitlines()
    facts = dict(line.split(" ", 1) for line in lines if " " in line)
    failures, commands, rows = [], [], []
    for line in (folder / "commands").read_text(encoding="utf-8").splitlines():
        name, status, seconds = line.split("\t")
        commands.append({"name": name, "status": int(status), "seconds": int(seconds)})
        if status != "0":
            end = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            commands[-1]["output"] = end
            failures.append(f"{name}: exit status {status}" + " (out of time)" * (status == "124"))
    for path in sorted(folder.glob("*.json")):
        if not path.name.startswith("gtest_"):
            rows += file_rows(path, facts, failures)
    rows += [*own_test_rows(folder, failures), *memory_rows(folder, failures),
             *score_rows(folder, failures)]
    if not rows and facts["part"] != "sanitize":
        failures.append("nothing was measured: does the build's backend load here? see the log")
    document = facts | {"commands": commands, "failures": failures, "rows": rows}
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for failure in failures:
        print(f"gpu_check: {failure}", file=sys.stderr)
    print(f"gpu_check: {len(rows)} rows, {len(failures)} failures: {out}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
