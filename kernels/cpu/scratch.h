#pragma once

#include <omp.h>

#include <cstddef>
#include <cstdlib>

namespace rheo::cpu {

/// Throws Error out_of_memory. Lives outside the per-instruction-set code.
[[noreturn]] void no_room(std::size_t bytes);

namespace RHEO_ISA {

/// Floats, 64-byte aligned, that are given back at the end of a scope.
class Scratch {
 public:
  explicit Scratch(std::size_t floats)
      : data_(static_cast<float*>(std::aligned_alloc(64, (floats * sizeof(float) / 64 + 1) * 64))) {
    if (data_ == nullptr) no_room(floats * sizeof(float));
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float* data() const { return data_; }

 private:
  float* data_;
};

/// Floats for the work on one tile, a piece for each thread of the next parallel loop; made before
/// it, where running out of memory can still be reported.
class ThreadScratch {
 public:
  explicit ThreadScratch(std::size_t floats)
      : stride_((floats + 15) / 16 * 16),
        all_(stride_ * static_cast<std::size_t>(omp_get_max_threads())) {}

  /// The calling thread's piece. Only inside the parallel loop: outside, the thread's number is
  /// that in somebody else's.
  float* mine() const {
    return all_.data() + stride_ * static_cast<std::size_t>(omp_get_thread_num());
  }

 private:
  std::size_t stride_;
  Scratch all_;
};

}  // namespace RHEO_ISA
}  // namespace rheo::cpu
