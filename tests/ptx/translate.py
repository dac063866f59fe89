"""Turns PTX, as cuobjdump prints it of a library, into C++ for the emulated GPU of tests/simt.

    cuobjdump -ptx librheo_cuda.so > kernels.ptx
    translate.py kernels.ptx A.cpp B.cpp ...

Each kernel becomes a function that runs one thread of it; machine.h says what the instructions do.
Whatever is not understood is an error: a new instruction has to be written down before it can pass
for run.
"""

import pathlib
import re
import sys

REGISTER = {"pred": "bool", "b8": "u8", "s8": "s8", "u8": "u8", "f32": "f32", "f64": "f64"}
REGISTER |= {kind + bits: "u" + bits for kind in "bsu" for bits in ("16", "32", "64")}
TYPES = {kind + bits: ("s" if kind == "s" else "u") + bits
         for kind in "bsu" for bits in ("8", "16", "32", "64")} | {"f32": "f32", "f64": "f64"}
SPECIAL = {f"%{register}.{axis}": f"{name}.{axis}" for axis in "xyz" for register, name in
           (("tid", "threadIdx"), ("ctaid", "blockIdx"), ("ntid", "blockDim"), ("nctaid", "gridDim"))}
SPECIAL["%laneid"] = "simt::lane()"
# Instructions whose C++ is a function of the same name, with all operands of the one type.
PLAIN = {"add", "sub", "neg", "abs", "min", "max", "rem", "and", "or", "xor", "not", "fma_rn",
         "fma_rm", "sqrt_rn", "rcp_rn", "rcp_approx_ftz", "ex2_approx_ftz", "copysign", "div",
         "div_rn", "mul", "mul_rn", "mul_wide", "add_rn", "mul_lo", "mul_hi", "mad_lo", "bfi", "prmt"}
HINTS = {"uni", "nc", "relaxed", "weak"}


class Unknown(Exception):
    pass


def name_of(register):
    return "v_" + register.replace("%", "").replace("$", "_")


def split(operands):
    """At the commas that are in no bracket."""
    found, depth = [""], 0
    for c in operands:
        depth += (c in "{[(") - (c in "}])")
        if c == "," and depth == 0:
            found.append("")
        else:
            found[-1] += c
    return [one.strip() for one in found if one.strip()]


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
            elif c == ";":
                yield start, bare
                text = ""
            elif c == ":" and re.fullmatch(r"\$?\w+", bare):
                yield start, bare + ":"
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
        self.offsets, self.parameters, end = [], [], 0
        for alignment, kind, name, count in parameters:
            size = int(kind[1:]) // 8
            align = int(alignment or size)
            end = (end + align - 1) // align * align
            self.offsets.append((end, size * int(count or 1)))
            self.parameters.append(name)
            end += size * int(count or 1)
        self.bytes = end
        bounds = re.search(r"\.maxntid (\d+), (\d+), (\d+)", head)
        self.most = int(bounds[1]) * int(bounds[2]) * int(bounds[3]) if bounds else 1024
        used = "\n".join(row for _, row in body)
        self.shared = {name: size for name, size in shared.items() if name in used}
        self.lines = []
        self.declared = []
        for line, statement in statements(body):
            try:
                self.take(line, statement)
            except (Unknown, KeyError, ValueError, IndexError) as problem:
                raise SystemExit(f"translate.py: {self.name}: {statement!r}: {problem!r}")

    def take(self, line, statement):
        if statement in "{}":
            self.lines.append(statement)
        elif statement.endswith(":"):
            self.lines.append(name_of(statement[:-1]) + ":;")
        elif statement.startswith(".pragma"):
            pass
        elif statement.startswith("."):
            self.declare(statement)
        else:
            self.lines.append(f'#line {line} "kernels.ptx"')
            self.lines.append(self.instruction(statement))

    def declare(self, statement):
        if many := re.fullmatch(r"\.reg \.(\w+)\s+(%\w+)<(\d+)>", statement):
            names = ", ".join(f"{name_of(many[2])}{i}" for i in range(int(many[3])))
            self.declared.append(f"{REGISTER[many[1]]} {names};")
        elif one := re.fullmatch(r"\.reg \.(\w+)\s+(%?\w+)", statement):
            self.lines.append(f"{REGISTER[one[1]]} {name_of(one[2])};")
        elif argument := re.fullmatch(r"\.param \.b(\d+) (\w+)", statement):
            self.lines.append(f"alignas(16) unsigned char {argument[2]}[{int(argument[1]) // 8}];")
        elif shared := re.fullmatch(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", statement):
            self.shared[shared[2]] = (int(shared[1]), int(shared[3]))
        else:
            raise Unknown("a declaration")

    def value(self, operand):
        if operand in SPECIAL:
            return SPECIAL[operand]
        if operand.startswith("0f"):
            return f"float_of(0x{operand[2:]}u)"
        if operand.startswith("0d"):
            return f"double_of(0x{operand[2:]}u)"
        if re.fullmatch(r"-?(\d+|0x[0-9A-Fa-f]+)", operand):
            return f"s64({operand}{'' if operand.startswith('-') else 'u'}ll)"
        if operand in self.shared:
            return f"shared_address<{list(self.shared).index(operand)}>"
        if operand in self.parameters:
            return f"address_of({self.parameter(operand)})"
        if re.fullmatch(r"%?\w+", operand):
            return name_of(operand)
        raise Unknown(operand)

    def parameter(self, name):
        if self.kernel:
            return f"parameters + {self.offsets[self.parameters.index(name)][0]}"
        return name

    def address(self, operand, space):
        base, sign, offset = re.fullmatch(r"\[([%\w$]+)(?:([+-])(-?\d+))?\]", operand).groups()
        offset = f"{sign or '+'} ({offset or 0})"
        if base in self.parameters:
            return f"{self.parameter(base)} {offset}"
        if base.startswith(("param", "retval", "func_retval")):
            return f"{base} {offset}"
        if space == "shared":
            return f"shared.at(as<u32>({self.value(base)}) {offset})"
        return f"pointer(as<u64>({self.value(base)}) {offset})"

    def instruction(self, statement):
        guard, code, rest = re.fullmatch(r"(?:@(!?%?\w+)\s+)?([a-z][\w.:]*)\s*(.*)", statement,
                                         re.S).groups()
        parts = [part for part in code.split(".") if part not in HINTS]
        text = self.translate(parts, split(rest))
        if guard:
            held = ("!" if guard[0] == "!" else "") + name_of(guard.lstrip("!"))
            return f"if ({held}) {{ {text} }}"
        return text

    def translate(self, parts, operands):
        special = getattr(self, "op_" + parts[0], None)
        if special:
            return special(parts, operands)
        operation, kind = "_".join(parts[:-1]), parts[-1]
        if operation not in PLAIN:
            raise Unknown("an instruction")
        if kind == "pred":
            return f"{name_of(operands[0])} = {operation}_pred({self.values(operands[1:])});"
        kind = TYPES[kind]
        given = ", ".join(f"as<{kind}>({self.value(one)})" for one in operands[1:])
        return f"put({name_of(operands[0])}, {operation}_({given}));"

    def values(self, operands):
        return ", ".join(map(self.value, operands))

    def op_bra(self, parts, operands):
        return f"goto {name_of(operands[0])};"

    def op_ret(self, parts, operands):
        return "return;"

    op_exit = op_ret

    def op_trap(self, parts, operands):
        return "trap();"

    def op_mov(self, parts, operands):
        to, source = operands
        if parts[1] == "pred":
            return f"{name_of(to)} = as<s64>({self.value(source)}) != 0;"
        kind = TYPES[parts[1]]
        if to.startswith("{"):
            low, high = split(to[1:-1])
            return f"unpack(as<{kind}>({self.value(source)}), {name_of(low)}, {name_of(high)});"
        if source.startswith("{"):
            return f"put({name_of(to)}, pack({self.values(split(source[1:-1]))}));"
        return f"put({name_of(to)}, as<{kind}>({self.value(source)}));"

    def op_cvta(self, parts, operands):
        if parts[1:] == ["shared", "u64"]:
            return f"put({name_of(operands[0])}, address_of(shared.at(as<u32>({self.value(operands[1])}))));"
        if parts[1:] != ["to", "global", "u64"]:
            raise Unknown("an instruction")
        return f"{name_of(operands[0])} = {self.value(operands[1])};"

    def op_setp(self, parts, operands):
        _, comparison, kind = parts
        given = ", ".join(f"as<{TYPES[kind]}>({self.value(one)})" for one in operands[1:])
        return f"{name_of(operands[0])} = setp_{comparison}({given});"

    def op_selp(self, parts, operands):
        to, yes, no, which = operands
        kind = TYPES[parts[1]]
        return (f"put({name_of(to)}, {self.value(which)} ? as<{kind}>({self.value(yes)})"
                f" : as<{kind}>({self.value(no)}));")

    def shift(self, parts, operands):
        to, value, by = operands
        return (f"put({name_of(to)}, {parts[0]}_(as<{TYPES[parts[1]]}>({self.value(value)}),"
                f" as<u32>({self.value(by)})));")

    op_shl = op_shr = shift

    def op_cvt(self, parts, operands):
        to, source = parts[-2:]
        how = "_".join(parts[1:-2]) or "plain"
        if "bf16" in (to, source):
            function = {("rn", "bf16"): "bf16_of", ("plain", "f32"): "of_bf16"}[how, to]
            kind = "f32" if to == "bf16" else "u16"
            return f"put({name_of(operands[0])}, {function}(as<{kind}>({self.value(operands[1])})));"
        return (f"put({name_of(operands[0])}, cvt_{how}<{TYPES[to]}>"
                f"(as<{TYPES[source]}>({self.value(operands[1])})));")

    def op_ld(self, parts, operands):
        space = parts[1] if parts[1] in ("global", "shared", "param") else ""
        address = self.address(operands[1], space)
        return self.access("load", parts, split(operands[0].strip("{}")), address)

    def op_st(self, parts, operands):
        space = parts[1] if parts[1] in ("global", "shared", "param") else ""
        address = self.address(operands[0], space)
        return self.access("store", parts, split(operands[1].strip("{}")), address)

    def access(self, what, parts, registers, address):
        kind = TYPES[parts[-1]]
        if what == "store":
            registers = [f"as<{kind}>({self.value(one)})" for one in registers]
        else:
            registers = [name_of(one) for one in registers]
        return f"{what}<{kind}>({address}, {', '.join(registers)});"

    def op_bar(self, parts, operands):
        if parts != ["bar", "sync"] or operands != ["0"]:
            raise Unknown("a barrier")
        return "simt::block_barrier(0, simt::Site::current());"

    def op_shfl(self, parts, operands):
        to, source, lane, clamp, mask = operands
        to, within = to.split("|") if "|" in to else (to, None)
        within = name_of(within) if within else "unused"
        return (f"shfl(Shuffle::{parts[2]}, {name_of(to)}, {within}, as<u32>({self.value(source)}),"
                f" as<u32>({self.value(lane)}), as<u32>({self.value(clamp)}),"
                f" as<u32>({self.value(mask)}));")

    def op_vote(self, parts, operands):
        to, predicate, mask = operands
        return f"{name_of(to)} = ballot({self.value(predicate)}, as<u32>({self.value(mask)}));"

    def op_cp(self, parts, operands):
        if parts[1:3] == ["async", "commit_group"]:
            return "__pipeline_commit();"
        if parts[1:3] == ["async", "wait_group"]:
            return f"__pipeline_wait_prior({operands[0]});"
        if parts[3:] != ["shared", "global"]:
            raise Unknown("a copy")
        to, source, room, given = operands + operands[2:] if len(operands) == 3 else operands
        return (f"copy_async<{room}>({self.address(to, 'shared')}, {self.address(source, '')},"
                f" as<u32>({self.value(given)}));")

    def op_call(self, parts, operands):
        result, function, arguments = operands
        return f"{function}({result.strip('()')}, {arguments.strip('()')});"

    def text(self):
        if self.kernel:
            head = f"void kernel_{self.name}(const unsigned char* const parameters) {{"
        else:
            names = ", ".join(f"unsigned char* {name}" for name in [self.result[1], *self.parameters])
            head = f"void {self.name}({names}) {{"
        variables = [f"static simt::SharedSlot slot_{i};" for i in range(len(self.shared))]
        made = ", ".join(
            "simt::dynamic_shared_memory()" if size is None else
            f"simt::shared_memory(slot_{i}, {size[1]}, {size[0]})"
            for i, size in enumerate(self.shared.values()))
        return "\n".join([head, *variables, f"const Shared shared{{{{{made}}}}};",
                          "[[maybe_unused]] bool unused;", *self.declared, *self.lines, "}"])

    def entry(self):
        places = ", ".join(f"{{{offset}, {size}}}" for offset, size in self.offsets)
        return (f'const Kernel entry_{self.name}("{self.name}", kernel_{self.name}, {{{places}}},'
                f" {self.bytes}, {self.most});")


def functions(lines):
    """Of one module: its functions, called ones before those that call them."""
    shared, head, body, depth, found = {}, "", [], 0, []
    for number, row in lines:
        row = row.split("//")[0]
        if depth == 0:
            if one := re.match(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\];", row):
                shared[one[2]] = (int(one[1]), int(one[3]))
            elif one := re.match(r"\.extern \.shared \.align \d+ \.b8 (\w+)\[\];", row):
                shared[one[1]] = None
            elif row.strip() == "{":
                depth = 1
            elif re.match(r"\.(version|target|address_size|file)", row):
                head = ""
            else:
                head = "" if row.rstrip().endswith(";") else head + row + "\n"
        elif row.strip() == "}" and depth == 1:
            found.append(Function(head, body, shared))
            head, body, depth = "", [], 0
        else:
            depth += row.count("{") - row.count("}")
            body.append((number, row))
    return sorted(found, key=lambda one: one.kernel)


def modules(text):
    found = []
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith(".version"):
            found.append([])
        if row.startswith(("Fatbin", "=====")):
            found.append([])
        if found:
            found[-1].append((number, row))
    return [module for module in found if module[0][1].startswith(".version")]


def main():
    text = pathlib.Path(sys.argv[1]).read_text()
    files = {name: ['#include "tests/ptx/machine.h"'] for name in sys.argv[2:]}
    seen = set()  # functions that several modules have are the same in each
    for module in modules(text):
        made = functions(module)
        if not any(one.kernel for one in made):
            continue
        file = min(files.values(), key=lambda rows: sum(map(len, rows)))
        inside = [one.text() for one in made]
        inside += [one.entry() for one in made if one.kernel and one.name not in seen]
        seen |= {one.name for one in made}
        file += [f"namespace ptx {{ namespace {{ namespace module_{len(seen)} {{", *inside,
                 "}}}  // namespaces"]
    for name, rows in files.items():
        pathlib.Path(name).write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
