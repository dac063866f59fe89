#pragma once

#include "kernels/backend.h"

namespace rheo::cuda {

#define RHEO_OP(op, Args) void op(const Args&, Stream);
#include "kernels/ops.def"
#undef RHEO_OP

}  // namespace rheo::cuda
