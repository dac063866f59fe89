"""Bar 4, the long form: every reader under libFuzzer, ASan and UBSan, in turns.

A trial is one run of a reader on one hostile file. A failure is a crash, an exception other than a
refusal, a run of over a second, or more memory than LIMIT_MB allows. Inputs that reach something new are
kept in the work folder for the next time; those that fail too, under failures/.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

FUZZ = Path(__file__).resolve().parent.parent / "fuzz"
DICTIONARIES = {"safetensors": "json", "checkpoint": "json", "config": "json", "options": "json",
                "settings": "json", "record": "json", "metrics": "json", "state": "json",
                "npy": "npy", "idx": "idx", "idx_gzip": "idx", "png": "png", "jpeg": "jpeg"}
LONGEST = {"checkpoint": 6000, "safetensors": 6000, "cifar": 3500}  # bytes; of others 2048
MOST_MB = 64  # what refusing a file may take
LIMIT_MB = 224 + MOST_MB  # with what sanitizers and corpora take: 147 of `record`, the most
TURN = 60  # seconds
START = 0.5  # seconds of computing until a fuzzer reads its first input


def say(text):
    print(f"fuzz: {text}", file=sys.stderr, flush=True)


def built(work, clang, jobs):
    """The fuzzers, built by clang: the compiler of the project's own build may be another."""
    folder = work / "build"
    subprocess.run(["cmake", "-S", FUZZ, "-B", folder, f"-DCMAKE_CXX_COMPILER={clang}"],
                   check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", folder, "--parallel", str(jobs)], check=True,
                   stdout=sys.stderr)
    return folder


def runs_in(log):
    """How many inputs a fuzzer says that it ran."""
    done = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log)
    return int(done[-1]) if done else max((int(n) for n in re.findall(r"^#(\d+)", log, re.M)),
                                          default=0)


def is_slow(program, path):
    """Whether an input takes a second of computing: the fuzzer's clock also runs while others do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([program, "-timeout=60", path], capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result.returncode != 0 or took > 1 + START


def take_turn(program, target, work, seconds, seed):
    """One target for `seconds`; returns its runs and the files that failed."""
    corpus, failures = work / "corpus" / target, work / "failures" / target
    corpus.mkdir(parents=True, exist_ok=True)
    failures.mkdir(parents=True, exist_ok=True)
    before = set(failures.iterdir())
    command = [program, f"-max_total_time={seconds}", "-timeout=1", f"-rss_limit_mb={LIMIT_MB}",
               f"-malloc_limit_mb={MOST_MB}",
               f"-max_len={LONGEST.get(target, 2048)}", f"-seed={seed}", "-print_final_stats=1",
               "-close_fd_mask=1", "-entropic=0",
               f"-artifact_prefix={failures}/"]
    if target in DICTIONARIES:
        command.append(f"-dict={FUZZ / (DICTIONARIES[target] + '.dict')}")
    result = subprocess.run([*map(str, command), corpus, FUZZ / "corpus" / target],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16",
                                 "UBSAN_OPTIONS": "print_stacktrace=1"})
    log = result.stderr.decode(errors="replace")
    new = sorted(set(failures.iterdir()) - before)
    excused = [path for path in new if path.name.startswith("slow-unit-")
               or path.name.startswith("timeout-") and not is_slow(program, path)]
    for path in excused:
        path.unlink()
    if excused and len(excused) == len(new):
        return runs_in(log), 0
    if result.returncode != 0:
        (failures / "log").write_text(log[-20000:])
        say(f"{target}: exit status {result.returncode}; see {failures / 'log'}")
    return runs_in(log), max(len(new) - len(excused), int(result.returncode != 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    parser.add_argument("--build", type=Path, help="of the project; the fuzzers have their own")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--from", dest="first", type=int, default=0, help="seeds go on from here")
    arguments = parser.parse_args()
    clang = shutil.which("clang++") or shutil.which("clang++-14")
    if clang is None:
        sys.exit("fuzz: needs clang++ with libFuzzer (Debian: clang, libclang-rt-14-dev)")
    end = time.monotonic() + arguments.budget
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = built(arguments.work, clang, jobs=1)
    programs = sorted(folder.glob("fuzz_*"))
    runs = {p.name.removeprefix("fuzz_"): 0 for p in programs}
    failures = 0
    turn = 0
    while (left := end - time.monotonic()) > 2:
        program = programs[turn % len(programs)]
        target = program.name.removeprefix("fuzz_")
        seconds = max(1, int(min(TURN, left, arguments.budget / len(programs))))
        done, failed = take_turn(program, target, arguments.work, seconds,
                                 seed=1 + (arguments.first + turn) % 2**31)
        runs[target] += done
        failures += failed
        turn += 1
        say(f"{target}: {done} runs, {sum(runs.values())} in all, {failures} failures")
    print(json.dumps({"trials": sum(runs.values()), "failures": failures, "notes": runs}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
