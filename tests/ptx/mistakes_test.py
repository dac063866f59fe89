"""Plants mistakes in the PTX of kernels, one kind at a time, and wants the tests of a GPU to find each.

    mistakes_test.py BUILD COMPILER RHEO_TESTS
"""

import os
import pathlib
import re
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1])
COMPILER, TESTS = sys.argv[2:]
FOLDER = BUILD / "mistakes"
BEYOND = 99 * 1024  # bytes: more than a block may have
FUNCTION = r"^(?=(?:\.visible |\.weak )?\.(?:entry|func)\b)"

# What, in which kernels, from what to what, the tests that run them, and what they then say.
MISTAKES = [
    ("addresses off by one value", "squeeze_forward_kernel",
     r"(st\.global\.v4\.f32 \[%rd\d+)\]", r"\1+4]", "SqueezeTest*/cuda", "which are not aligned"),
    ("missing barriers", "moments_of_channels_kernel",
     r"bar\.sync\s+0;", "", "MomentsTest*/cuda", "FAILED"),
    ("reductions that leave lanes out", "log_det_sum_kernel",
     r"(shfl\.sync\.\w+\.b32\s+\S+, \S+), \S+,", r"\1, 0,", "LogDetTest*/cuda", "FAILED"),
    ("sums in place of products", "pixels_quantize_kernel",
     r"mul\.f32", "add.f32", "PixelsTest*/cuda", "FAILED"),
    ("blocks beyond their bounds", "pixels_quantize_kernel",
     r"\.maxntid \d+", ".maxntid 32", "PixelsTest*/cuda", "__launch_bounds__"),
    ("shared variables of half their size", "moments_of_channels_kernel",
     r"(\.shared \.align \d+ \.b8 \w+)\[2048\]", r"\1[1024]", "MomentsTest*/cuda",
     r"sums \(1024 bytes, .*beyond its end, in .*moments_of_channels_kernel"),
    ("shared variables aligned too little", "moments_of_channels_kernel",
     r"\.shared \.align 16", ".shared .align 4", "MomentsTest*/cuda",
     r"aligned to 4\), not aligned, in .*moments_of_channels_kernel"),
    ("copies beyond dynamic shared memory", "step_kernelILi12E",
     r"(cp\.async\.\w+\.shared\.global \[%r\d+)\]", rf"\1+{BEYOND}]", "StepTest.ForwardIs*/cuda",
     r"rheo_dynamic\w* \(\d+ bytes, .*beyond its end, in .*step_kernel"),
]
# In which kernels, from what to what nobody has written down.
UNKNOWN = [
    ("moments_of_channels_kernel", r"bar\.sync", "bar.arrive"),
    ("moments_of_channels_kernel", r"ld\.global\.f32", "ld.acquire.gpu.global.f32"),
    ("relu_mask_kernel", r"vote\.sync\.ballot\.b32", "vote.sync.all.pred"),
    ("pixels_quantize_kernel", r"\.maxntid", ".reqntid"),
]
# What nvcc's -lineinfo adds: after each statement, and at the end of the module.
LINE = ";\n.loc\t1 2 3, function_name $L__info_string0, inlined_at 1 4 5\n"
FILES = '.file\t1 "a.cu"\n.section\t.debug_str\n{\n$L__info_string0:\n.b8 95,90,49,102,102,0\n\n}\n'


def planted(ptx, kernels, pattern, replacement):
    """Of the first module that has such kernels, those alone and what they need, changed."""
    for module in re.split(r"^(?=\.version)", ptx, flags=re.M):
        head, *functions = re.split(FUNCTION, module.split("\nFatbin")[0], flags=re.M)
        named = [one for one in functions if re.match(rf".*\.entry \w*{kernels}", one)]
        if not named:
            continue
        called = [one for one in functions if re.match(r".*\.func", one)]
        shared = re.findall(r"^(?:\.extern )?\.shared .*;$", "".join(functions), re.M)
        wrong, count = re.subn(pattern, replacement, "".join(named))
        if count == 0:
            raise SystemExit(f"mistakes_test.py: no {pattern} in {kernels}")
        return "\n".join([head, *shared, *called, wrong])
    raise SystemExit(f"mistakes_test.py: no kernel {kernels}")


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)


def translated(kernels, pattern, replacement, after=""):
    FOLDER.mkdir(exist_ok=True)
    ptx = planted((BUILD / "kernels.ptx").read_text(), kernels, pattern, replacement)
    (FOLDER / "kernels.ptx").write_text(ptx + after)
    translate = pathlib.Path(__file__).with_name("translate.py")
    return run(sys.executable, translate, FOLDER / "kernels.ptx", FOLDER / "kernels.cpp")


def passes(what, kernels, pattern, replacement, tests):
    """Whether the tests do, and what they print."""
    made = translated(kernels, pattern, replacement)
    # Listed first, so that its kernels are found before the right ones.
    built = made.returncode == 0 and run(COMPILER, FOLDER / "kernels.cpp", f"@{BUILD / 'compile.txt'}",
                                         "-o", FOLDER / "librheo_cuda.so")
    if not built or built.returncode != 0:
        raise SystemExit(f"mistakes_test.py: {what}: {made.stderr}{built and built.stderr}")
    environment = os.environ | {"RHEO_TEST_CUDA": "1", "RHEO_BACKEND_PATH": str(FOLDER),
                                "OMP_WAIT_POLICY": "passive"}
    tried = run(TESTS, f"--gtest_filter={tests}", env=environment)
    return tried.returncode == 0, tried.stdout + tried.stderr


failures = 0
for what, kernels, pattern, replacement, tests, says in MISTAKES:
    for wrong in (False, True):
        passed, text = passes(what, kernels, pattern, replacement if wrong else r"\g<0>", tests)
        if passed == wrong or wrong and not re.search(says, text):
            print(f"{what}: {'not found' if wrong else 'fails without it'}\n{text}")
            failures += 1
for kernels, pattern, replacement in UNKNOWN:
    made = translated(kernels, pattern, replacement)
    if made.returncode == 0 or replacement.strip(".") not in made.stderr:
        print(f"{replacement} was taken for known\n{made.stderr}")
        failures += 1
code = []
for replacement, after in ((r"\g<0>", ""), (LINE, FILES)):
    made = translated("moments_of_channels_kernel", r";\n", replacement, after)
    text = (FOLDER / "kernels.cpp").read_text() if made.returncode == 0 else made.stderr
    code.append(re.sub(r"^#line.*\n", "", text, flags=re.M))
if code[0] != code[1]:
    print(f"lines of the source change the code\n{code[1]}")
    failures += 1
sys.exit(1 if failures else 0)
