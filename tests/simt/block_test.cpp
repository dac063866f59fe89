// Barriers, shared memory and races between threads of one grid.

#include <cub/block/block_reduce.cuh>
#include <thread>

#include "harness.h"

namespace simt {
namespace {

constexpr int kThreads = 64;

Values counted(int count) {
  Values values(count);
  for (int i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

/// What the kernel writes to `count` floats.
template <class... Arguments>
Program writes(int count, dim3 grid, dim3 block, void (*kernel)(float*, Arguments...),
               Arguments... arguments) {
  return [=] {
    const DeviceArray<float> y(count);
    run(kernel, grid, block, y.data(), arguments...);
    return y.values();
  };
}

template <bool kBroken>
__global__ void sum_kernel(float* y) {
  RHEO_SHARED(float, values, [kThreads]);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  for (int width = kThreads / 2; width > 0; width /= 2) {
    if (!kBroken || width != kThreads / 2) __syncthreads();
    if (threadIdx.x < width) values[threadIdx.x] += values[threadIdx.x + width];
  }
  if (threadIdx.x == 0) y[blockIdx.x] = values[0];
}

TEST(Block, MissingBarrier) {
  const Values want(3, kThreads * (kThreads - 1) / 2);
  expect_right(writes(3, 3, kThreads, sum_kernel<false>), want);
  expect_wrong_or_race(writes(3, 3, kThreads, sum_kernel<true>), want, "sum_kernel");
}

TEST(Block, FromAnotherThreadOfTheHost) {
  Values sums;
  std::thread([&] { sums = writes(3, 3, kThreads, sum_kernel<false>)(); }).join();
  EXPECT_EQ(sums, Values(3, kThreads * (kThreads - 1) / 2));
}

template <bool kBroken>
__global__ void fill_kernel(float* y, int count) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (kBroken ? i <= count : i < count) y[i] = static_cast<float>(i);
}

TEST(Block, IndexPastTheEndOfDeviceMemory) {
  constexpr int kCount = 3 * kThreads - 7;
  expect_right(writes(kCount, 3, kThreads, fill_kernel<false>, kCount), counted(kCount));
  expect_report(writes(kCount, 3, kThreads, fill_kernel<true>, kCount),
                "heap-buffer-overflow.*fill_kernel");
}

template <bool kBroken>
__global__ void neighbour_kernel(float* y) {
  RHEO_SHARED(float, values, [kThreads + 1]);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (threadIdx.x == 0) values[kThreads] = kThreads;
  __syncthreads();
  y[threadIdx.x] = values[threadIdx.x + (kBroken ? 2 : 1)] - 1;
}

TEST(Block, IndexPastTheEndOfSharedMemory) {
  expect_right(writes(kThreads, 1, kThreads, neighbour_kernel<false>), counted(kThreads));
  expect_report(writes(kThreads, 1, kThreads, neighbour_kernel<true>),
                "heap-buffer-overflow|out of bounds");
}

template <bool kBroken>
__global__ void reverse_kernel(float* y) {
  RHEO_DYNAMIC_SHARED(float, values);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  y[threadIdx.x] = values[kThreads - (kBroken ? 0 : 1) - threadIdx.x];
}

TEST(Block, IndexPastTheEndOfDynamicSharedMemory) {
  const auto reversed_twice = [](void (*kernel)(float*)) -> Program {
    return [=] {
      const DeviceArray<float> y(kThreads);
      must(launch_in(nullptr, kThreads * sizeof(float), kernel, 1, kThreads, y.data()));
      Values values = y.values();
      return Values(values.rbegin(), values.rend());
    };
  };
  expect_right(reversed_twice(reverse_kernel<false>), counted(kThreads));
  expect_report(reversed_twice(reverse_kernel<true>), "heap-buffer-overflow.*reverse_kernel");
}

template <bool kBroken>
__global__ void tree_kernel(float* y) {
  RHEO_SHARED(float, values, [kThreads]);
  values[threadIdx.x] = 1;
  for (int width = kBroken ? kThreads / 4 : kThreads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (threadIdx.x < width) values[threadIdx.x] += values[threadIdx.x + width];
  }
  if (threadIdx.x == 0) y[0] = values[0];
}

TEST(Block, WrongReduction) {
  expect_right(writes(1, 1, kThreads, tree_kernel<false>), {kThreads});
  expect_wrong(writes(1, 1, kThreads, tree_kernel<true>), {kThreads});
}

template <bool kBroken>
__global__ void branch_kernel(float* y) {
  if (kBroken && threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = static_cast<float>(threadIdx.x);
}

TEST(Block, DivergentBarrier) {
  expect_right(writes(kThreads, 1, kThreads, branch_kernel<false>), counted(kThreads));
  expect_error(writes(kThreads, 1, kThreads, branch_kernel<true>), "a divergent barrier");
}

template <bool kBroken>
__global__ void ragged_kernel(float* y, int count) {
  RHEO_SHARED(float, values, [kThreads]);
  if (kBroken && threadIdx.x >= count) return;
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x < count) y[threadIdx.x] = values[count - 1 - threadIdx.x];
}

TEST(Block, ReturnBeforeABarrier) {
  const Values want{4, 3, 2, 1, 0};
  expect_right(writes(5, 1, kThreads, ragged_kernel<false>, 5), want);
  expect_error(writes(5, 1, kThreads, ragged_kernel<true>, 5), "59 threads from 5 on: returned");
}

template <bool kBroken>
__global__ void shared_count_kernel(float* y) {
  RHEO_SHARED(int, count);
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (kBroken)
    count += 1;
  else
    atomicAdd(&count, 1);
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<float>(count);
}

TEST(Block, LostUpdateInSharedMemory) {
  expect_right(writes(2, 2, kThreads, shared_count_kernel<false>), {kThreads, kThreads});
  expect_race(writes(2, 2, kThreads, shared_count_kernel<true>), "shared_count_kernel");
}

template <bool kBroken>
__global__ void device_count_kernel(float* y, int* count, int blocks) {
  if (threadIdx.x == 0) {
    if (kBroken)
      count[0] += 1;
    else
      atomicAdd(&count[0], 1);
    __threadfence();
    // The last block to come here sees what all did.
    if (atomicAdd(&count[1], 1) == blocks - 1) y[0] = static_cast<float>(count[0]);
  }
}

TEST(Block, LostUpdateBetweenBlocks) {
  const auto count = [](void (*kernel)(float*, int*, int)) -> Program {
    return [=] {
      const DeviceArray<float> y(1);
      const DeviceArray<int> counts({0, 0});
      run(kernel, 5, kThreads, y.data(), counts.data(), 5);
      return y.values();
    };
  };
  expect_right(count(device_count_kernel<false>), {5});
  expect_race(count(device_count_kernel<true>), "device_count_kernel");
}

template <bool kBroken>
__global__ void padded_kernel(float* y) {
  RHEO_SHARED(float, values, [kThreads]);
  if (threadIdx.x < 3)
    values[threadIdx.x] = 1;
  else if (!kBroken)
    values[threadIdx.x] = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    y[0] = 0;
    for (const float value : values) y[0] += value;
  }
}

TEST(Block, UninitialisedSharedMemory) {
  expect_right(writes(1, 1, kThreads, padded_kernel<false>), {3});
  expect_wrong(writes(1, 1, kThreads, padded_kernel<true>), {3});
}

#ifdef __SANITIZE_THREAD__
__global__ void first_use_kernel(float* y) {
  if (threadIdx.x == 0) y[0] = 1;
  RHEO_SHARED(float, values, [kThreads]);
  values[threadIdx.x] = 1;
  if (threadIdx.x == kThreads - 1) y[0] = 2;
}

TEST(Block, FirstUseOfSharedMemoryIsNoBarrier) {
  expect_race(writes(1, 1, kThreads, first_use_kernel), "first_use_kernel");
}
#endif

template <bool kBroken>
__global__ void next_block_kernel(float* y) {
  RHEO_SHARED(float, kept);
  if (!kBroken || blockIdx.x == 0) kept = 7;
  y[blockIdx.x] = kept;
}

TEST(Block, SharedMemoryOfAnotherBlock) {
  expect_right(writes(4, 4, 1, next_block_kernel<false>), {7, 7, 7, 7});
  expect_wrong(writes(4, 4, 1, next_block_kernel<true>), {7, 7, 7, 7});
}

template <bool kBroken>
__global__ void two_sums_kernel(float* y) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  RHEO_SHARED(typename Reduce::TempStorage, storage);
  const float first = Reduce(storage).Sum(2);
  if (!kBroken) __syncthreads();
  const float second = Reduce(storage).Sum(static_cast<float>(threadIdx.x));
  if (threadIdx.x == 0) y[0] = first, y[1] = second;
}

TEST(Block, StorageOfAReductionReused) {
  const Values want{2 * kThreads, kThreads * (kThreads - 1) / 2};
  expect_right(writes(2, 1, kThreads, two_sums_kernel<false>), want);
  expect_wrong_or_race(writes(2, 1, kThreads, two_sums_kernel<true>), want, "two_sums_kernel");
}

template <bool kBroken>
__global__ void everybodys_sum_kernel(float* y) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  RHEO_SHARED(typename Reduce::TempStorage, storage);
  RHEO_SHARED(float, shared);
  const float sum = Reduce(storage).Sum(1);
  if (threadIdx.x == 0) shared = sum;
  __syncthreads();
  y[threadIdx.x] = kBroken ? sum : shared;
}

TEST(Block, ResultOfAReductionInAllThreads) {
  const Values want(kThreads, kThreads);
  expect_right(writes(kThreads, 1, kThreads, everybodys_sum_kernel<false>), want);
  expect_wrong(writes(kThreads, 1, kThreads, everybodys_sum_kernel<true>), want);
}

template <bool kBroken>
__global__ void vector_kernel(float* y) {
  auto* const at = reinterpret_cast<float4*>(y + 4 * threadIdx.x + (kBroken ? 1 : 0));
  if (threadIdx.x < 3) *at = make_float4(1, 2, 3, 4);
}

TEST(Block, MisalignedVector) {
  expect_right(writes(12, 1, kThreads, vector_kernel<false>), {1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4});
  expect_report(writes(16, 1, kThreads, vector_kernel<true>), "misaligned address");
}

__global__ void votes_kernel(float* y) {
  const bool mine = threadIdx.x % 3 == 0;
  y[threadIdx.x] = static_cast<float>(__syncthreads_count(mine));
  if (__syncthreads_or(threadIdx.x == 77) && !__syncthreads_or(threadIdx.x == 78) &&
      __syncthreads_and(threadIdx.x < 78) && !__syncthreads_and(threadIdx.x < 77))
    y[threadIdx.x] += 1000;
}

TEST(Block, BarriersThatVote) {
  expect_right(writes(78, 1, 78, votes_kernel), Values(78, 1026));  // 26 multiples of 3 below 78
}

__global__ void index_kernel(float* y) {
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  y[i] = static_cast<float>(i);
}

TEST(Block, IndicesInThreeDimensions) {
  expect_right(writes(2 * 3 * 5 * 4 * 3 * 2, {2, 3, 5}, {4, 3, 2}, index_kernel),
               counted(2 * 3 * 5 * 4 * 3 * 2));
}

}  // namespace
}  // namespace simt
