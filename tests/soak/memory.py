"""Bar 9: allocations that fail (tests/faults/allocations.cpp): python memory.py --budget SECONDS
--build BUILD --work FOLDER --from N. Trial k is a process that does all that is done with a model,
with its k-th allocation failing: once, and with all later ones of a page or more. What oneDNN
allocates inside itself fails too in every fourth; where it ends the process then, it is counted
apart."""

import json
import os
import subprocess
import sys
import time

from trials import arguments

STRIDE = 7919  # a prime, so that a short soak sees something of everything


def main():
    args = arguments(__doc__)
    end = time.monotonic() + args.budget
    program = args.build / "tests" / "faults" / "allocations"

    def run(at, *how):
        return subprocess.run([program, "--cold", str(at), *how], capture_output=True, text=True,
                              timeout=600, env={**os.environ, "OMP_WAIT_POLICY": "passive"})

    def reach(*how):
        """Somewhat more than there are."""
        at = 1
        while run(at, *how).returncode != 3:
            at *= 2
        return at

    wanted = run(0).stdout
    ours, of_all = reach(), reach("others")
    done, failures, inside = 0, 0, 0
    first = args.first
    while time.monotonic() < end and not (args.trials and done >= args.trials):
        how = ["lasting"] if done % 2 else []
        how += ["others"] if done % 4 == 3 else []
        at = (first + done) * STRIDE % (of_all if "others" in how else ours) + 1
        result = run(at, *how)
        done += 1
        good = result.returncode in (0, 3) and result.stdout == wanted
        if not good and "others" in how and "libdnnl" in result.stdout + result.stderr:
            inside += 1
        elif not good:
            failures += 1
            print(f"allocation {at} {how}: {result.returncode} {result.stdout}{result.stderr}",
                  file=sys.stderr)
        if done % 200 == 0:
            print(f"{done} trials, {failures} failures", file=sys.stderr)
    print(json.dumps({"trials": done, "failures": failures,
                      "notes": {"ended inside oneDNN": inside}}))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
