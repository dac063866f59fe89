"""What each PTX statement is in C++, in the words of machine.h and memory.h."""

import re

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
SPACES = {"global", "shared", "param"}


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


class Body:
    """The statements of one function, in C++.

    `parameters`: where in a kernel's parameters each begins. `shared`: the module's variables, each
    with its alignment and its bytes (0: as many as the launch says); those of the function join them.
    """

    def __init__(self, kernel, parameters, shared):
        self.kernel, self.parameters, self.shared = kernel, parameters, dict(shared)
        self.declared, self.lines = [], []

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
            return f"parameters + {self.parameters[name]}"
        return name

    def address(self, operand, space, size):
        """The host's, of so many bytes; whether they lie there, aligned, is checked on the way."""
        base, sign, offset = re.fullmatch(r"\[([%\w$]+)(?:([+-])(-?\d+))?\]", operand).groups()
        offset = f"{sign or '+'} ({offset or 0})"
        if base in self.parameters:
            return f"aligned({self.parameter(base)} {offset}, {size})"
        if base.startswith(("param", "retval", "func_retval")):
            return f"aligned({base} {offset}, {size})"
        if space == "shared":
            return f"shared.at(as<u32>({self.value(base)}) {offset}, {size})"
        place = f"as<u64>({self.value(base)}) {offset}"
        return f"aligned(pointer({place}), {size})" if space else f"shared.generic({place}, {size})"

    def instruction(self, statement):
        guard, code, rest = re.fullmatch(r"(?:@(!?%?\w+)\s+)?([a-z][\w.:]*)\s*(.*)", statement,
                                         re.S).groups()
        # The suffix says that all threads go the same way.
        text = self.translate(code.removesuffix(".uni").split("."), split(rest))
        if guard:
            held = ("!" if guard[0] == "!" else "") + name_of(guard.lstrip("!"))
            return f"if ({held}) {{ {text} }}"
        return text

    def translate(self, parts, operands):
        special = getattr(self, "op_" + parts[0], None)
        if special:
            return special(parts, operands)
        operation, kind = "_".join(parts[:-1]), parts[-1]
        self.require(operation in PLAIN)
        if kind == "pred":
            return f"{name_of(operands[0])} = {operation}_pred({self.values(operands[1:])});"
        kind = TYPES[kind]
        given = ", ".join(f"as<{kind}>({self.value(one)})" for one in operands[1:])
        return f"put({name_of(operands[0])}, {operation}_({given}));"

    def values(self, operands):
        return ", ".join(map(self.value, operands))

    def require(self, holds, what="an instruction"):
        if not holds:
            raise Unknown(what)

    def kind(self, parts):
        self.require(len(parts) == 2)
        return TYPES[parts[1]]

    def op_bra(self, parts, operands):
        return f"goto {name_of(operands[0])};"

    def op_ret(self, parts, operands):
        return "return;"

    def op_exit(self, parts, operands):
        self.require(self.kernel)  # in a function it ends more than that
        return "return;"

    def op_trap(self, parts, operands):
        return "trap();"

    def op_mov(self, parts, operands):
        to, source = operands
        if parts[1:] == ["pred"]:
            return f"{name_of(to)} = {self.value(source)} != 0;"
        kind = self.kind(parts)
        if to.startswith("{"):
            low, high = split(to[1:-1])
            return f"unpack(as<{kind}>({self.value(source)}), {name_of(low)}, {name_of(high)});"
        if source.startswith("{"):
            return f"put({name_of(to)}, pack({self.values(split(source[1:-1]))}));"
        return f"put({name_of(to)}, as<{kind}>({self.value(source)}));"

    def op_cvta(self, parts, operands):
        if parts[1:] == ["shared", "u64"]:
            return f"put({name_of(operands[0])}, generic_of(as<u32>({self.value(operands[1])})));"
        self.require(parts[1:] == ["to", "global", "u64"])
        return f"{name_of(operands[0])} = {self.value(operands[1])};"

    def op_setp(self, parts, operands):
        _, comparison, kind = parts
        given = ", ".join(f"as<{TYPES[kind]}>({self.value(one)})" for one in operands[1:])
        return f"{name_of(operands[0])} = setp_{comparison}({given});"

    def op_selp(self, parts, operands):
        to, yes, no, which = operands
        kind = self.kind(parts)
        return (f"put({name_of(to)}, {self.value(which)} ? as<{kind}>({self.value(yes)})"
                f" : as<{kind}>({self.value(no)}));")

    def shift(self, parts, operands):
        to, value, by = operands
        return (f"put({name_of(to)}, {parts[0]}_(as<{self.kind(parts)}>({self.value(value)}),"
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
        registers, place = operands
        return self.access("load", parts, place, list(map(name_of, split(registers.strip("{}")))))

    def op_st(self, parts, operands):
        place, values = operands
        kind = TYPES[parts[-1]]
        return self.access("store", parts, place,
                           [f"as<{kind}>({self.value(one)})" for one in split(values.strip("{}"))])

    def access(self, what, parts, place, values):
        """Modifiers besides a space and a count are unknown: some say which writes are seen."""
        kind = TYPES[parts[-1]]
        modifiers = parts[1:-1]
        space = modifiers.pop(0) if modifiers and modifiers[0] in SPACES else ""
        self.require(modifiers == ([f"v{len(values)}"] if len(values) > 1 else []), "an access")
        size = len(values) * int(kind[1:]) // 8
        return f"{what}<{kind}>({self.address(place, space, size)}, {', '.join(values)});"

    def op_bar(self, parts, operands):
        self.require(parts == ["bar", "sync"] and operands == ["0"], "a barrier")
        return "simt::block_barrier(0, simt::Site::current());"

    def op_shfl(self, parts, operands):
        to, source, lane, clamp, mask = operands
        self.require(parts[1] == "sync" and parts[3:] == ["b32"])
        to, within = to.split("|") if "|" in to else (to, None)
        within = name_of(within) if within else "unused"
        return (f"shfl(Shuffle::{parts[2]}, {name_of(to)}, {within}, as<u32>({self.value(source)}),"
                f" as<u32>({self.value(lane)}), as<u32>({self.value(clamp)}),"
                f" as<u32>({self.value(mask)}));")

    def op_vote(self, parts, operands):
        to, predicate, mask = operands
        self.require(parts == ["vote", "sync", "ballot", "b32"])
        return f"{name_of(to)} = ballot({self.value(predicate)}, as<u32>({self.value(mask)}));"

    def op_cp(self, parts, operands):
        if parts[1:3] == ["async", "commit_group"]:
            return "__pipeline_commit();"
        if parts[1:3] == ["async", "wait_group"]:
            return f"__pipeline_wait_prior({operands[0]});"
        self.require(parts[3:] == ["shared", "global"], "a copy")
        to, source, room, given = operands + operands[2:] if len(operands) == 3 else operands
        return (f"copy_async<{room}>({self.address(to, 'shared', room)},"
                f" {self.address(source, 'global', room)}, as<u32>({self.value(given)}));")

    def op_call(self, parts, operands):
        result, function, arguments = operands
        self.require(result.startswith("("), "a call")
        return f"{function}(shared, {result.strip('()')}, {arguments.strip('()')});"
