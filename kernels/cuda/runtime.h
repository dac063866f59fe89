#pragma once

// What the host side asks of the CUDA runtime besides its calls.

#include <cuda_runtime.h>

#include <cstddef>

namespace rheo::cuda {

/// Throws Error where `status` is one: "cuda: <what>: out of memory (cudaErrorMemoryAllocation)".
void check(cudaError_t status, const char* what);

/// Lets blocks of a kernel have so much dynamic shared memory.
void allow_dynamic_shared(const void* kernel, std::size_t bytes);

}  // namespace rheo::cuda
