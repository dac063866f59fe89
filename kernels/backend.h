#pragma once

#include <cstddef>
#include <string>

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

/// Work that a backend has recorded, to be replayed as one launch.
struct Recording;

/// One place to compute: its memory, its streams, and one function for each line of ops.def.
/// Operations trust their arguments; every pointer in them is the backend's memory. What is queued
/// on one stream runs in order. All functions throw Error where the device fails.
struct Backend {
  const char* name;             // "cpu", "cuda"
  const char* instruction_set;  // "avx512"; "cuda"
  bool relu_masks;              // backward is faster with LinearArgs::mask than without
  std::size_t network_bytes;    // of each hidden activation that a network best makes at once
  std::size_t overhead_bytes;   // about, besides all that is allocated: libraries, streams

  /// Throws unsupported, saying what is missing, where there is none.
  int (*device_count)();
  std::string (*describe)(int device);  // what decides the bits: "avx512"; "NVIDIA H200, sm_90"
  /// Throws where there is no such device, or one that is too old.
  void (*require_fitting)(int device);
  int (*use)(int device);           // by the calling thread; returns the one before
  int (*set_threads)(int threads);  // of what the calling thread starts; returns those before
  bool (*has_bf16)();
  std::size_t (*packed_bytes)(const LinearPack&);  // 0: the weight is read fastest as it is
  /// Packs `count` weights; the array is the host's.
  void (*pack)(const LinearPack*, int count, Stream);

  void* (*allocate)(std::size_t bytes);  // 64-byte aligned; null: no room
  void (*release)(void* memory);         // after all that is queued is done
  std::size_t (*free_bytes)();
  void* (*allocate_host)(std::size_t bytes);  // the host's, for copy_later; null: no room
  void (*release_host)(void* memory);

  Stream (*open)(bool linear);  // with room beside it for linear_*, or for all else
  void (*close)(Stream);
  void (*synchronize)(Stream);
  void (*wait)(Stream, Stream other);  // for what is queued on `other` so far
  /// Either side may be the host's; what it copies from may be reused when it returns.
  void (*copy)(void* to, const void* from, std::size_t bytes, Stream);
  /// One side is of allocate_host, and nobody touches it until the stream has passed the copy.
  void (*copy_later)(void* to, const void* from, std::size_t bytes, Stream);
  void (*clear)(void* memory, std::size_t bytes, Stream);  // to zero

  /// Calls `work(what)`, which queues on the stream and on streams that wait for it and for which
  /// it waits at last, without running any of it. Null, and `work` not called: nothing is recorded
  /// here, or there is no room for it.
  Recording* (*record)(Stream, void (*work)(void* what), void* what);
  void (*replay)(Recording*, Stream);
  void (*forget)(Recording*);

#define RHEO_OP(op, Args) void (*op)(const Args&, Stream);
#include "kernels/ops.def"
#undef RHEO_OP
};

/// The CPU's, compiled for the widest instruction set that this machine has.
const Backend& cpu_backend();

}  // namespace rheo
