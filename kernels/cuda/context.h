#pragma once

// What a stream has beside it.

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstddef>

#include "rheo/stream.h"

namespace rheo::cuda {

/// What cuBLASLt asks for on Hopper.
inline constexpr std::size_t kWorkspace = std::size_t{32} << 20;
inline constexpr std::size_t kScratch = std::size_t{1} << 20;  // floats

struct Context {
  int device;
  cublasLtHandle_t blas;
  void* workspace;  // of cuBLASLt, for this stream alone
  std::size_t workspace_bytes;
  float* scratch;  // of our own kernels, between two launches of one operation
  std::size_t scratch_floats;
  cudaEvent_t passed;  // recorded by Backend::wait
};

/// Throws Error where `status` is one.
void check(cublasStatus_t status, const char* what);

/// Of a stream that linear operations run on. The null stream's is made when first asked for.
/// @throws Error invalid_argument for another stream that Backend::open did not make for them.
Context& context_of(Stream stream);

}  // namespace rheo::cuda
