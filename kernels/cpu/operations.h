#pragma once

// What every family of this backend defines, once for each instruction set.

#include "kernels/backend.h"

namespace rheo::cpu::RHEO_ISA {
#define RHEO_OP(op, Args) void op(const Args&, Stream);
#include "kernels/ops.def"
#undef RHEO_OP
std::size_t packed_bytes(const LinearPack&);
void pack(const LinearPack*, int count, Stream);
}  // namespace rheo::cpu::RHEO_ISA
