"""A fuzzer that finds nothing proves nothing: one with a planted bug must find it.

Usage: planted_test.py FOLDER REPLAY
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 60  # seconds; it takes a few


def has_libfuzzer(clang):
    probe = [clang, "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", "/dev/null"]
    source = b"#include <stdint.h>\n#include <stddef.h>\n" \
             b"int LLVMFuzzerTestOneInput(const uint8_t* d, size_t n) { return d && n > 9; }"
    return subprocess.run(probe, input=source, capture_output=True).returncode == 0


def build(folder, clang):
    for command in [["cmake", "-S", HERE, "-B", folder, f"-DCMAKE_CXX_COMPILER={clang}",
                     "-DRHEO_FUZZ_PLANTED=ON"], ["cmake", "--build", folder]]:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            sys.exit(result.stdout.decode(errors="replace"))


def main():
    folder, replay = Path(sys.argv[1]), sys.argv[2]
    clang = shutil.which("clang++") or shutil.which("clang++-14")
    if clang is None or not has_libfuzzer(clang):
        print("there is no clang++ with libFuzzer (Debian: clang, libclang-rt-14-dev)")
        sys.exit(77)
    build(folder, clang)
    found, corpus = folder / "found", folder / "corpus"
    for each in found, corpus:
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir()
    start = time.monotonic()
    result = subprocess.run(
        [folder / "fuzz_npy", f"-max_total_time={LIMIT}", "-seed=1", "-max_len=512",
         f"-dict={HERE / 'npy.dict'}", f"-artifact_prefix={found}/", corpus,
         HERE / "corpus" / "npy"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    took = time.monotonic() - start
    crashes = list(found.glob("crash-*"))
    if result.returncode == 0 or len(crashes) != 1:
        sys.exit(f"the planted bug was not found in {took:.0f} s:\n"
                 + result.stderr.decode(errors="replace")[-2000:])
    # What found it is harmless where nothing is planted.
    subprocess.run([replay, "npy", crashes[0]], check=True, stdout=subprocess.DEVNULL)
    print(f"the planted bug was found in {took:.1f} s, by {crashes[0].stat().st_size} bytes")


if __name__ == "__main__":
    main()
