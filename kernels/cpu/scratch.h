#pragma once

#include <omp.h>

#include <cstddef>
#include <cstdlib>

namespace rheo::cpu {

/// Throws Error out_of_memory. Lives outside the per-instruction-set code.
[[noreturn]] void no_room(std::size_t bytes);

namespace RHEO_ISA {

/// Floats for the work on one tile, a piece for each thread; made before a parallel loop, where
/// running out of memory can still be reported.
class Scratch {
 public:
  explicit Scratch(std::size_t floats_a_thread)
      : stride_((floats_a_thread + 15) / 16 * 16),
        bytes_(stride_ * sizeof(float) * static_cast<std::size_t>(omp_get_max_threads())),
        data_(static_cast<float*>(std::aligned_alloc(64, bytes_ == 0 ? 64 : bytes_))) {
    if (data_ == nullptr) no_room(bytes_);
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// The calling thread's piece.
  float* mine() const { return data_ + stride_ * static_cast<std::size_t>(omp_get_thread_num()); }

 private:
  std::size_t stride_;
  std::size_t bytes_;
  float* data_;
};

}  // namespace RHEO_ISA
}  // namespace rheo::cpu
