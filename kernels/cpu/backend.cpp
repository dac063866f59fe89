// Compiled once for each instruction set, like the operations: the constant that names them.

#include "kernels/cpu/backend.h"

#include "kernels/cpu/operations.h"

#define RHEO_TEXT_OF(x) #x
#define RHEO_TEXT(x) RHEO_TEXT_OF(x)

namespace rheo::cpu::RHEO_ISA {

constinit const Backend backend = {
    .name = "cpu",
    .instruction_set = RHEO_TEXT(RHEO_ISA),
    .relu_masks = false,
    .network_bytes = 2 << 20,
    .overhead_bytes = 17'000'000,  // measured: code of oneDNN and OpenMP, and what oneDNN compiles
    .device_count = [] { return 1; },
    .describe = [](int) { return described(RHEO_TEXT(RHEO_ISA)); },
    .require_fitting = [](int) {},
    .use = [](int) { return 0; },
    .set_threads = set_threads,
    .has_bf16 = has_bf16,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .allocate = allocate,
    .release = release,
    .free_bytes = free_bytes,
    .allocate_host = allocate,
    .release_host = release,
    .open = [](bool) -> Stream { return nullptr; },
    .close = [](Stream) {},
    .synchronize = [](Stream) {},
    .wait = [](Stream, Stream) {},
    .copy = copy,
    .copy_later = copy,
    .clear = clear,
    .record = [](Stream, void (*)(void*), void*) -> Recording* { return nullptr; },
    .replay = [](Recording*, Stream) {},
    .forget = [](Recording*) {},
#define RHEO_OP(op, Args) .op = op,
#include "kernels/ops.def"
#undef RHEO_OP
};

}  // namespace rheo::cpu::RHEO_ISA
