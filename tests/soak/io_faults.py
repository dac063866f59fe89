"""Bar 3: system calls of rheo that fail (tests/faults): python io_faults.py --budget SECONDS
--build BUILD --work FOLDER --from N. Trial k is the k-th of all calls, kinds and commands in a fixed
order that no soak takes in one piece; after the last it begins again."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "faults"))

from faulty import REASONS, Faulty  # noqa: E402
from trials import arguments  # noqa: E402

STRIDE = 7919  # a prime, so that a short soak sees something of everything


def trials(faulty):
    """(what, arguments of it) of the whole product."""
    kinds = [(kind, lasting) for kind in (*REASONS, "EINTR", "short") for lasting in (False, True)]
    saves, begins = len(faulty.resume_calls()), len(faulty.begin_calls())
    every = [("resume", faulty.resume_trial, (at, *kind)) for at in range(1, saves + 1)
             for kind in kinds]
    every += [("begin", faulty.begin_trial, (at, *kind)) for at in range(1, begins + 1)
              for kind in kinds]
    for name in faulty.outputs():
        calls, wanted = faulty.output_calls(name)
        every += [(name, faulty.output_trial, (name, wanted, at, *kind))
                  for at in range(1, len(calls) + 1) for kind in kinds]
    every += [("limit", faulty.limited_trial, (limit,)) for limit in range(0, 2000, 40)]
    return every


def main():
    args = arguments(__doc__)
    end = time.monotonic() + args.budget
    faulty = Faulty(args.build / "rheo", args.build / "tests" / "faults" / "io_shim.so", args.work)
    every = trials(faulty)
    done, failures, kinds = 0, 0, {}
    first = args.first
    while time.monotonic() < end and done < (args.trials or len(every)):
        name, trial, values = every[(first + done) * STRIDE % len(every)]
        wrong = trial(*values)
        done += 1
        kinds[name] = kinds.get(name, 0) + 1
        if wrong:
            failures += 1
            print("\n".join(wrong), file=sys.stderr)
        if done % 200 == 0:
            print(f"{done} trials, {failures} failures", file=sys.stderr)
    print(json.dumps({"trials": done, "failures": failures,
                      "notes": {"kinds of trials": kinds, "trials for all": len(every)}}))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
