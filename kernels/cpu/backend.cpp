// Compiled once for each instruction set, like the operations: the constant that names them.

#include "kernels/cpu/backend.h"

#include "kernels/cpu/operations.h"

#define RHEO_TEXT_OF(x) #x
#define RHEO_TEXT(x) RHEO_TEXT_OF(x)

namespace rheo::cpu::RHEO_ISA {

constinit const Backend backend = {
    .name = "cpu",
    .instruction_set = RHEO_TEXT(RHEO_ISA),
    .has_bf16 = has_bf16,
    .allocate = allocate,
    .release = release,
    .copy = copy,
    .clear = clear,
    .synchronize = [](Stream) {},
    .set_threads = set_threads,
#define RHEO_OP(op, Args) .op = op,
#include "kernels/ops.def"
#undef RHEO_OP
};

}  // namespace rheo::cpu::RHEO_ISA
