#pragma once

// How kernels are launched and what they are written with, the same for a GPU and for the emulator
// of tests/simt, which brings its own <cuda_runtime.h>.

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "kernels/cuda/runtime.h"
#include "rheo/error.h"
#include "rheo/stream.h"

/// A block's variable: RHEO_SHARED(float, state, [64][12]); and the one whose size the launch says.
#ifndef RHEO_SHARED
#define RHEO_SHARED(T, name, extents) __shared__ __align__(16) T name extents
#define RHEO_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char rheo_dynamic[]; \
  T* const name = reinterpret_cast<T*>(rheo::cuda::in_register(rheo_dynamic))

namespace rheo::cuda {
/// An address in shared memory that stays in a register: nvcc 13.0 makes what it knows to be a
/// constant anew for each access, by four instructions, one of them slow.
__device__ __forceinline__ void* in_register(const void* shared) {
  auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm("" : "+r"(address));
  return __cvta_shared_to_generic(address);
}
}  // namespace rheo::cuda
#endif

namespace rheo::cuda {

/// Queues a kernel. An empty grid is no work and no error.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t dynamic_shared,
            Stream stream, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  // A block gets 48 KiB without asking, but with its variables in them, for which this leaves 16.
  constexpr std::size_t kUnasked = 32 << 10;
  if (dynamic_shared > kUnasked)
    allow_dynamic_shared(reinterpret_cast<const void*>(kernel), dynamic_shared);
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared, config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
        "launch a kernel");
}

/// @throws Error invalid_argument where a grid would have no room for them.
inline unsigned blocks_of(long long items, int block) {
  const long long blocks = (items + block - 1) / block;
  if (blocks > 0x7fffffff)
    throw Error(Errc::invalid_argument,
                "cuda: " + std::to_string(items) +
                    " items are more than one launch takes; use smaller batches");
  return static_cast<unsigned>(blocks);
}

}  // namespace rheo::cuda
