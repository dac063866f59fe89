"""Plants mistakes in the PTX of kernels, one kind at a time, and wants the tests of a GPU to find each.

    mistakes_test.py BUILD SOURCE COMPILER RHEO_TESTS
"""

import os
import pathlib
import re
import subprocess
import sys

BUILD, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
COMPILER, TESTS = sys.argv[3:]
FOLDER = BUILD / "mistakes"

# What, from which kernel of a module on, from what to what, the tests that run it, and what they then say.
MISTAKES = [
    ("addresses off by one value", "squeeze_forward_kernel",
     r"(st\.global\.v4\.f32 \[%rd\d+)\]", r"\1+4]", "SqueezeTest*/cuda", "which are not aligned"),
    ("missing barriers", "moments_of_channels_kernel",
     r"bar\.sync\s+0;", "", "MomentsTest*/cuda", "FAILED"),
    ("reductions that leave lanes out", "log_det_sum_kernel",
     r"(shfl\.sync\.\w+\.b32\s+\S+, \S+), \S+,", r"\1, 0,", "LogDetTest*/cuda", "FAILED"),
    ("sums in place of products", "pixels_dequantize_kernel",
     r"mul\.f32", "add.f32", "PixelsTest*/cuda", "FAILED"),
    ("blocks beyond their bounds", "pixels_quantize_kernel",
     r"\.maxntid \d+", ".maxntid 32", "PixelsTest*/cuda", "__launch_bounds__"),
]


def module_of(ptx, kernel):
    """The text of the one module that has the kernel, and where in it the kernel begins."""
    starts = [found.start() for found in re.finditer(r"^\.version", ptx, re.M)] + [len(ptx)]
    for begin, end in zip(starts, starts[1:]):
        text = ptx[begin:end].split("\nFatbin")[0]
        if entry := re.search(rf"\.entry \w*{kernel}", text):
            return text, entry.start()
    raise SystemExit(f"mistakes_test.py: no kernel {kernel}")


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)


def translated(what, kernel, pattern, replacement):
    """Runs translate.py over the changed module."""
    module, begin = module_of((BUILD / "kernels.ptx").read_text(), kernel)
    wrong, count = re.subn(pattern, replacement, module[begin:])
    if count == 0:
        raise SystemExit(f"mistakes_test.py: nothing to plant {what} in")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "kernels.ptx").write_text(module[:begin] + wrong)
    return run(sys.executable, SOURCE / "tests/ptx/translate.py", FOLDER / "kernels.ptx",
               FOLDER / "kernels.cpp")


def passes(what, kernel, pattern, replacement, tests):
    """Whether the tests do, and what they print."""
    made = translated(what, kernel, pattern, replacement)
    # Listed first, so that it is found before the right one.
    built = made.returncode == 0 and run(
        COMPILER, "-std=c++20", "-O1", "-w", "-fPIC", "-mfma", "-ffp-contract=off", "-shared",
        f"-I{SOURCE}/tests/simt/include", f"-I{SOURCE}", f"-I{SOURCE}/include",
        FOLDER / "kernels.cpp", "@" + str(BUILD / "link.txt"), "-o", FOLDER / "librheo_cuda.so")
    if not built or built.returncode != 0:
        raise SystemExit(f"mistakes_test.py: {what}: {made.stderr}{built and built.stderr}")
    environment = os.environ | {"RHEO_TEST_CUDA": "1", "RHEO_BACKEND_PATH": str(FOLDER),
                                "OMP_WAIT_POLICY": "passive", "RHEO_SIMT_ORDER": "reverse"}
    tried = run(TESTS, f"--gtest_filter={tests}", env=environment)
    return tried.returncode == 0, tried.stdout + tried.stderr


failures = 0
for what, kernel, pattern, replacement, tests, says in MISTAKES:
    for planted in (False, True):
        passed, text = passes(what, kernel, pattern, replacement if planted else r"\g<0>", tests)
        if passed == planted or planted and not re.search(says, text):
            print(f"{what}: {'not found' if planted else 'fails without it'}\n{text}")
            failures += 1
unknown = translated("an unknown instruction", "moments_of_channels_kernel", r"bar\.sync", "bar.arrive")
if unknown.returncode == 0 or "bar.arrive" not in unknown.stderr:
    print(f"an unknown instruction was taken\n{unknown.stderr}")
    failures += 1
sys.exit(1 if failures else 0)
