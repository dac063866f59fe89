"""The machine and the build that a measurement is of, and rows of the build's benchmarks."""

import datetime
import json
import os
import pathlib
import platform
import subprocess

from python_env import fail

ROOT = pathlib.Path(__file__).resolve().parent.parent
ISA_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def output(*command):
    """What a command says; None where it is not there or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def cpu_lines():
    """The first processor's of /proc/cpuinfo."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def description(build):
    cpu = cpu_lines()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu.get("model name", platform.processor()),
        "family": "/".join(cpu.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "cores": len(os.sched_getaffinity(0)),
        "instruction sets": [flag for flag in ISA_FLAGS if flag in cpu.get("flags", "").split()],
        "memory_GB": round(memory / 1e9, 1),
        "system": platform.platform(),
        "rheo": output(program(build, "rheo"), "--version"),
        "commit": output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "OMP": {key: value for key, value in os.environ.items()
                if key.startswith(("OMP_", "GOMP_"))},
    }


def program(build, name):
    for path in (build / name, build / "bench" / name):
        if path.exists():
            return path
    fail(f"there is no {name} under {build}; build it with RHEO_BENCH=ON, or name another --build")


def rows(build, name, pattern):
    """Rows of a benchmark program; what failed in one is in its "error_message"."""
    command = [program(build, name), f"--benchmark_filter={pattern}", "--benchmark_format=json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not result.stdout:
        end = "\n".join(result.stderr.splitlines()[-5:])
        fail(f"{name} ended with status {result.returncode} at {pattern}:\n{end}")
    return json.loads(result.stdout)["benchmarks"]


def model_row(build, what):
    return only_row(rows(build, "rheo_model_bench", f"^{what}/iterations"), build, what)


def model_row_beside_products(build, what):
    """The row, and {precision: GFLOP/s} of the product rows that the same process measured."""
    found = rows(build, "rheo_model_bench", f"^({what}/iterations|product/)")
    rates = {row["name"].split("/")[2]: row["GFLOP/s"]
             for row in found if row["name"].startswith("product/") and "GFLOP/s" in row}
    return only_row([row for row in found if row["name"].startswith(what)], build, what), rates


def only_row(found, build, what):
    if len(found) != 1:
        fail(f"rheo_model_bench has {len(found)} rows {what}, not 1; is {build} of this tree?")
    return found[0]


def busy():
    """Whether something else runs: more than a third of a processor's load, on the whole machine."""
    return os.getloadavg()[0] > 0.33
