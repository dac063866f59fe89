"""Turns PTX, as cuobjdump prints it of a library, into C++ for the emulated GPU of tests/simt.

    cuobjdump -ptx librheo_cuda.so > kernels.ptx
    translate.py kernels.ptx A.cpp B.cpp ...

Each kernel becomes a function that runs one thread of it; what instructions become, instructions.py
says. Whatever is not understood is an error: a new instruction has to be written down before it can
pass for run.
"""

import math
import pathlib
import re
import sys

from instructions import Body, Unknown

# Of a kernel's head, what changes nothing here, and what is read.
DIRECTIVES = {"minnctapersm", "maxnreg", "maxntid"}


def statements(body):
    """Labels, braces that open or close a scope, and what ends in a semicolon, with its line."""
    text, start = "", 0
    for line, row in body:
        for c in row + "\n":
            bare = text.strip()
            if not bare:
                start = line
            if c == "{" and not bare or c == "}" and not bare:
                yield start, c
                text = ""
            elif c == ";" or c == ":" and re.fullmatch(r"\$?\w+", bare):
                yield start, bare + c.strip(";")
                text = ""
            else:
                text += c


class Function:
    """A kernel, or a function that kernels call."""

    def __init__(self, head, body, shared):
        self.kernel = ".entry" in head
        self.name = re.search(r"\.(?:entry|func)\s+(?:\([^)]*\)\s*)?([\w$]+)", head)[1]
        self.result = re.search(r"\.func\s+\(\.param \.\w+ (\w+)\)", head)
        parameters = re.findall(r"\.param\s+(?:\.align (\d+)\s+)?\.(\w+) (\w+)(?:\[(\d+)\])?",
                                head[head.index(self.name):])
        self.refuse(len(parameters) + (not self.kernel) != head.count(".param"), "its parameters")
        unknown = set(re.findall(r"\.(\w+)", head[head.rindex(")"):])) - DIRECTIVES
        self.refuse(unknown, f"its directives {unknown}")
        self.parameters, self.bytes = {}, 0  # where each begins, and how long it is
        for alignment, kind, name, count in parameters:
            size = int(kind[1:]) // 8
            align = int(alignment or size)
            begin = (self.bytes + align - 1) // align * align
            self.parameters[name] = (begin, size * int(count or 1))
            self.bytes = begin + size * int(count or 1)
        bounds = re.search(r"\.maxntid ([\d, ]+)", head)
        self.most = math.prod(map(int, bounds[1].split(","))) if bounds else 1024
        used = set(re.findall(r"[\w$]+", "\n".join(row for _, row in body)))
        self.body = Body(self.kernel, {name: begin for name, (begin, _) in self.parameters.items()},
                         {name: size for name, size in shared.items() if name in used})
        for line, statement in statements(body):
            try:
                self.body.take(line, statement)
            except (Unknown, AttributeError, KeyError, ValueError, IndexError) as problem:
                raise SystemExit(f"translate.py: {self.name}: {statement!r}: {problem!r}")
        # A variable would be another one here than in the kernel that calls.
        self.refuse(not self.kernel and self.body.shared, "shared memory in a function")

    def refuse(self, holds, what):
        if holds:
            raise SystemExit(f"translate.py: {self.name}: unknown: {what}")

    def code(self):
        """Which is the same in every module."""
        return self.body.shared, [row for row in self.body.lines if not row.startswith("#line")]

    def text(self):
        if self.kernel:
            variables = [f'variable<{i}>("{name}", {size}, {alignment})' if size else
                         f'dynamic_variable("{name}", {alignment})'
                         for i, (name, (alignment, size)) in enumerate(self.body.shared.items())]
            head = [f"void kernel_{self.name}(const unsigned char* const parameters) {{",
                    f"const Shared shared{{{{{', '.join(variables)}}}}};"]
        else:
            names = [f"unsigned char* {name}" for name in [self.result[1], *self.parameters]]
            head = [f"void {self.name}(const Shared& shared, {', '.join(names)}) {{"]
        return "\n".join([*head, "[[maybe_unused]] bool unused;", *self.body.declared,
                          *self.body.lines, "}"])

    def entry(self):
        places = ", ".join(f"{{{offset}, {size}}}" for offset, size in self.parameters.values())
        return (f'const Kernel entry_{self.name}("{self.name}", kernel_{self.name}, {{{places}}},'
                f" {self.bytes}, {self.most});")


def functions(lines):
    """Of one module: its functions, called ones before those that call them."""
    shared, head, body, depth, found = {}, "", [], 0, []
    for number, row in lines:
        row = row.split("//")[0]
        if re.match(r"\s*\.loc\s", row):  # where in the source the next instruction comes from
            continue
        if depth == 0:
            if one := re.match(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\];", row):
                shared[one[2]] = (int(one[1]), int(one[3]))
            elif one := re.match(r"\.extern \.shared \.align (\d+) \.b8 ([\w$]+)\[\];", row):
                shared[one[2]] = (int(one[1]), 0)
            elif row.strip() == "{":
                depth = 1
            elif re.match(r"\s*\.(version|target|address_size|file)", row):
                head = ""
            else:
                head = "" if row.rstrip().endswith(";") else head + row + "\n"
        elif row.strip() == "}" and depth == 1:
            if not head.lstrip().startswith(".section"):
                found.append(Function(head, body, shared))
            head, body, depth = "", [], 0
        else:
            depth += row.count("{") - row.count("}")
            body.append((number, row))
    return sorted(found, key=lambda one: one.kernel)


def architecture(module):
    return int(re.search(r"^\.target sm_(\d+)", "\n".join(row for _, row in module), re.M)[1])


def modules(text):
    """Those of the newest architecture: the others are the same once more."""
    found = []
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith((".version", "Fatbin", "=====")):
            found.append([])
        if found:
            found[-1].append((number, row))
    found = [module for module in found if module[0][1].startswith(".version")]
    newest = max(map(architecture, found), default=None)
    return [module for module in found if architecture(module) == newest]


def main():
    text = pathlib.Path(sys.argv[1]).read_text()
    files = {name: ['#include "tests/ptx/memory.h"'] for name in sys.argv[2:]}
    seen = {}
    for number, module in enumerate(modules(text)):
        made = functions(module)
        kernels = [one for one in made if one.kernel and one.name not in seen]
        for one in made:  # a template's kernel is in each module that uses it
            one.refuse(one.kernel and seen.setdefault(one.name, one.code()) != one.code(),
                       "which of two kernels of this name")
        if not kernels:
            continue
        file = min(files.values(), key=lambda rows: sum(map(len, rows)))
        inside = [one.text() for one in made if not one.kernel or one in kernels]
        inside += [one.entry() for one in kernels]
        file += [f"namespace ptx {{ namespace {{ namespace module_{number} {{", *inside,
                 "}}}  // namespaces"]
    if not seen:
        raise SystemExit("translate.py: there is no kernel")
    for name, rows in files.items():
        pathlib.Path(name).write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
