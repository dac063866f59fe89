"""What librheo.so gives and takes: python exports_test.py NM LIBRARY MISUSE_TEST

Every function that it exports for its users is called in MISUSE_TEST, and none that ends a process is
taken from elsewhere.
"""

import re
import subprocess
import sys

ENDING = {"exit", "_exit", "_Exit", "quick_exit", "abort", "raise", "kill", "__assert_fail",
          "pthread_exit", "pthread_kill", "_ZSt21__glibcxx_assert_failPKciS0_S0_"}


def names(nm, library, *options):
    lines = subprocess.run([nm, "-D", *options, library], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return [line.split(None, 2) if line[0] != " " else ["", *line.split(None, 1)] for line in lines]


def main():
    nm, library, test = sys.argv[1:]
    taken = {name.split("@")[0] for _, _, name in names(nm, library, "-u")}
    wrong = [f"{name} is imported" for name in sorted(taken & ENDING)]
    sanitized = any(name.startswith(("__asan", "__ubsan", "__tsan")) for name in taken)
    if sanitized:  # whose checks end the process, as they should
        wrong = []
    text = open(test).read()
    called = 0
    for _, kind, name in names(nm, library, "-C", "--defined-only"):
        name = re.sub(r"\[abi:\w+\]", "", name)
        match = re.fullmatch(r"rheo::((?:\w+::)*)(~?\w+|operator=)\(.*", name)
        if kind not in "TW" or not match or "Impl" in name:
            continue
        of, function = match[1].removesuffix("::"), match[2]
        if function.startswith("~") or function in ("operator=", "impl", of):
            continue
        called += 1
        if not re.search(rf"\b{function}\(", text):
            wrong.append(f"{name} is not in {test}")
    if called < 60:
        wrong.append(f"only {called} exported functions were found")
    sys.exit("\n".join(wrong) or 0)


main()
