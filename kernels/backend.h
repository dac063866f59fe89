#pragma once

#include <cstddef>

#include "kernels/adam.h"
#include "kernels/linear.h"
#include "kernels/log_det.h"
#include "kernels/moments.h"
#include "kernels/pixels.h"
#include "kernels/prior.h"
#include "kernels/squeeze.h"
#include "kernels/step.h"
#include "kernels/weights.h"
#include "rheo/stream.h"

namespace rheo {

/// One place to compute: its memory, and one function for each line of ops.def. Operations trust
/// their arguments; every pointer in them is the backend's memory.
struct Backend {
  const char* name;             // "cpu"
  const char* instruction_set;  // "avx512"
  bool (*has_bf16)();
  void* (*allocate)(std::size_t bytes);  // 64-byte aligned; null: no room
  void (*release)(void* memory);
  /// Either side may be the host's; what it copies from may be reused when it returns.
  void (*copy)(void* to, const void* from, std::size_t bytes, Stream);
  void (*clear)(void* memory, std::size_t bytes, Stream);  // to zero
  void (*synchronize)(Stream);
  int (*set_threads)(int threads);  // of what the calling thread starts; returns the number before
#define RHEO_OP(op, Args) void (*op)(const Args&, Stream);
#include "kernels/ops.def"
#undef RHEO_OP
};

/// The CPU's, compiled for the widest instruction set that this machine has.
const Backend& cpu_backend();

}  // namespace rheo
