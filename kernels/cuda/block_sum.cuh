#pragma once

// By itself, for CUB's headers take nvcc longer than most kernels do.

#include <cub/block/block_reduce.cuh>

#include "kernels/cuda/launch.cuh"

namespace rheo::cuda {

/// Sum over the block in an order that its size alone decides; thread 0 has it. All threads call.
template <int kThreads, class T>
__device__ T block_sum(T value) {
  using Reduce = cub::BlockReduce<T, kThreads>;
  using Storage = typename Reduce::TempStorage;
  RHEO_SHARED(Storage, storage, );
  __syncthreads();  // whoever called before is done with the storage
  return Reduce(storage).Sum(value);
}

}  // namespace rheo::cuda
