"""Bar 8: arguments that no function was made for (tests/misuse_test.cpp): python misuse.py
--budget SECONDS --build BUILD --work FOLDER --from N. A trial is a call with arguments drawn anew;
seeds go on from N."""

import json
import os
import subprocess
import sys
import time

from trials import arguments

SEEDS = 500  # of each test in one process
TESTS = ("Configurations", "Devices", "Models", "Files", "DataAndPictures", "Training", "Kernels")


def main():
    args = arguments(__doc__)
    end = time.monotonic() + args.budget
    done, failures = 0, 0
    seed = args.first // len(TESTS)
    while time.monotonic() < end and not (args.trials and done >= args.trials):
        result = subprocess.run(
            [args.build / "tests" / "faults" / "misuse", "--gtest_brief=1",
             "--gtest_filter=" + ":".join(f"MisuseTest.Of{name}" for name in TESTS)],
            capture_output=True, text=True, errors="replace",
            env={**os.environ, "RHEO_MISUSE": f"{seed}:{SEEDS}", "OMP_WAIT_POLICY": "passive"})
        if result.returncode != 0:
            failures += 1
            print(f"seeds {seed}..{seed + SEEDS - 1}: {result.returncode} {result.stdout[-3000:]}"
                  f"{result.stderr[-3000:]}", file=sys.stderr)
        seed += SEEDS
        done += SEEDS * len(TESTS)
        print(f"{done} trials, {failures} failures", file=sys.stderr)
    print(json.dumps({"trials": done, "failures": failures, "notes": {}}))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
