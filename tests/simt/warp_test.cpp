// What lanes do together, and asynchronous copies.

#include <cuda_bf16.h>
#include <cuda_pipeline_primitives.h>

#include <bit>
#include <cmath>
#include <limits>

#include "harness.h"

namespace simt {
namespace {

constexpr unsigned kAll = 0xffffffffu;

template <class... Arguments>
Program writes(int count, int threads, void (*kernel)(float*, Arguments...),
               Arguments... arguments) {
  return [=] {
    const DeviceArray<float> y(count);
    run(kernel, 1, threads, y.data(), arguments...);
    return y.values();
  };
}

/// Bug: one step too few.
template <bool kBroken>
__global__ void warp_sum_kernel(float* y) {
  float sum = static_cast<float>(threadIdx.x);
  for (int lanes = kBroken ? 8 : 16; lanes > 0; lanes /= 2)
    sum += __shfl_xor_sync(kAll, sum, lanes);
  y[threadIdx.x] = sum;
}

TEST(Warp, WrongReduction) {
  expect_right(writes(32, 32, warp_sum_kernel<false>), Values(32, 496));
  expect_wrong(writes(32, 32, warp_sum_kernel<true>), Values(32, 496));
}

template <bool kBroken>
__global__ void half_warp_kernel(float* y) {
  float value = 1;
  if (threadIdx.x < 16) value = __shfl_down_sync(kBroken ? 0xffu : 0xffffu, 2.f, 1, 16);
  y[threadIdx.x] = value;
}

TEST(Warp, MaskWithoutTheCaller) {
  Values want(32, 1.f);
  std::fill_n(want.begin(), 16, 2.f);
  expect_right(writes(32, 32, half_warp_kernel<false>), want);
  expect_error(writes(32, 32, half_warp_kernel<true>), "is not in its own mask 0xff");
}

template <bool kBroken>
__global__ void returned_lanes_kernel(float* y, int count) {
  const bool inside = threadIdx.x < count;
  if (kBroken && !inside) return;
  const float sum = inside ? 1.f : 0.f;
  const unsigned ballot = __ballot_sync(kAll, sum > 0);
  if (inside) y[threadIdx.x] = static_cast<float>(__popc(ballot));
}

TEST(Warp, MaskWithLanesThatReturned) {
  expect_right(writes(20, 32, returned_lanes_kernel<false>, 20), Values(20, 20));
  expect_error(writes(20, 32, returned_lanes_kernel<true>, 20), "names lanes which have returned");
}

/// Bug: lane 40, of the second warp, has not been asked for its value.
template <bool kBroken>
__global__ void absent_source_kernel(float* y) {
  if (threadIdx.x >= 8) return;
  y[threadIdx.x] = __shfl_sync(0xffu, 5.f, kBroken ? 8 : 7);
}

TEST(Warp, SourceOutsideTheMask) {
  expect_right(writes(8, 32, absent_source_kernel<false>), Values(8, 5));
  expect_wrong(writes(8, 32, absent_source_kernel<true>), Values(8, 5));
}

template <bool kBroken>
__global__ void arms_kernel(float* y) {
  float value;
  if (kBroken && threadIdx.x % 2 == 0)
    value = __shfl_sync(kAll, 1.f, 0);
  else
    value = __shfl_sync(kAll, 1.f, 0);
  y[threadIdx.x] = value;
}

TEST(Warp, OneMaskInTwoPlaces) {
  expect_right(writes(32, 32, arms_kernel<false>), Values(32, 1));
  expect_error(writes(32, 32, arms_kernel<true>), "lanes of one mask at different warp functions");
}

template <bool kBroken>
__global__ void shuffle_or_barrier_kernel(float* y) {
  float value = 3;
  if (kBroken && threadIdx.x >= 16)
    __syncthreads();
  else
    value = __shfl_sync(kAll, value, 0);
  if (!kBroken) __syncthreads();
  y[threadIdx.x] = value;
}

TEST(Warp, Deadlock) {
  expect_right(writes(32, 32, shuffle_or_barrier_kernel<false>), Values(32, 3));
  expect_error(writes(32, 32, shuffle_or_barrier_kernel<true>), "a deadlock");
  expect_error(writes(32, 32, shuffle_or_barrier_kernel<true>), "16 threads from 16 on: wait at");
}

template <bool kBroken>
__global__ void exchange_kernel(float* y) {
  RHEO_SHARED(float, values, [32]);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (!kBroken) __syncwarp();
  const float other = values[threadIdx.x ^ 1];
  __syncwarp();
  values[threadIdx.x] = other;
  __syncwarp();
  y[threadIdx.x] = values[threadIdx.x ^ 1];
}

TEST(Warp, MissingSyncwarp) {
  Values want(32);
  for (int i = 0; i < 32; ++i) want[i] = static_cast<float>(i);
  expect_right(writes(32, 32, exchange_kernel<false>), want);
  expect_wrong_or_race(writes(32, 32, exchange_kernel<true>), want, "exchange_kernel");
}

#ifdef __SANITIZE_THREAD__
/// A shuffle is no fence: of the values in shared memory nobody may say which he sees.
__global__ void shuffle_as_fence_kernel(float* y) {
  RHEO_SHARED(float, values, [32]);
  values[threadIdx.x] = 1;
  const float one = __shfl_sync(kAll, 1.f, 0);
  y[threadIdx.x] = values[threadIdx.x ^ 1] * one;
}

TEST(Warp, ShuffleAsAFence) {
  expect_race(writes(32, 32, shuffle_as_fence_kernel), "shuffle_as_fence_kernel");
}
#endif

/// Lane i of a segment of `width`; sources by the definitions of the PTX manual.
__global__ void widths_kernel(float* y, int width, int by) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first = lane / width * width, last = first + width - 1;
  int wrong = 0;
  wrong += __shfl_sync(kAll, lane, by, width) != first + by % width;
  wrong += __shfl_up_sync(kAll, lane, by, width) != (lane - by < first ? lane : lane - by);
  wrong += __shfl_down_sync(kAll, lane, by, width) != (lane + by > last ? lane : lane + by);
  wrong += __shfl_xor_sync(kAll, lane, by, width) != ((lane ^ by) > last ? lane : lane ^ by);
  const double wide = __shfl_xor_sync(kAll, 1e300 * lane, 1);
  wrong += wide != 1e300 * (lane ^ 1);
  y[threadIdx.x] = static_cast<float>(wrong);
}

TEST(Warp, ShufflesOfEveryWidth) {
  for (int width = 2; width <= 32; width *= 2)
    for (int by : {0, 1, 2, 5, 13, 31})
      expect_right(writes(96, 96, widths_kernel, width, by), Values(96, 0));
}

/// A last warp of 8 lanes, and groups of lanes with masks of their own in a divergent branch.
__global__ void short_warp_kernel(float* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum = static_cast<float>(__popc(__ballot_sync(kAll, 1)));
  const unsigned group = 0xfu << (lane & ~3);
  if (lane / 4 % 2 == 0) {
    sum += __shfl_xor_sync(group, 100.f, 1);
    __syncwarp(group);
    sum += __any_sync(group, lane % 4 == 3) && !__all_sync(group, lane % 4 == 3) ? 1000.f : 0.f;
  }
  y[threadIdx.x] = sum;
}

TEST(Warp, GroupsOfAShortWarp) {
  Values want(40);
  for (int i = 0; i < 40; ++i)
    want[i] = (i < 32 ? 32.f : 8.f) + (i % 32 / 4 % 2 == 0 ? 1100.f : 0.f);
  expect_right(writes(40, 40, short_warp_kernel), want);
}

/// Two stages: while one is added up the next arrives. Bug: waits for one group too few.
template <bool kBroken>
__global__ void stages_kernel(float* y, const float* x, int stages) {
  RHEO_SHARED(float, held, [2][32]);
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  __pipeline_memcpy_async(&held[0][i], x + i, 4);
  __pipeline_commit();
  for (int stage = 0; stage < stages; ++stage) {
    if (stage + 1 < stages)
      __pipeline_memcpy_async(&held[(stage + 1) % 2][i], x + (stage + 1) * 32 + i, 4);
    __pipeline_commit();
    __pipeline_wait_prior(kBroken ? 2 : 1);
    __syncthreads();
    sum += held[stage % 2][31 - i];
    __syncthreads();
  }
  __pipeline_wait_prior(0);
  y[i] = sum;
}

Program stages(void (*kernel)(float*, const float*, int), Policy policy = Policy::late) {
  return [=] {
    const DeviceArray<float> y(32), x(Values(3 * 32, 1.f));
    set_policy(policy);
    run(kernel, 1, 32, y.data(), x.data(), 3);
    set_policy(Policy::late);
    return y.values();
  };
}

TEST(AsyncCopy, WaitsForOneGroupTooFew) {
  expect_right(stages(stages_kernel<false>), Values(32, 3));
  expect_right(stages(stages_kernel<false>, Policy::eager), Values(32, 3));
  expect_wrong(stages(stages_kernel<true>), Values(32, 3));
}

__global__ void never_waits_kernel(float* y, const float* x) {
  RHEO_SHARED(float, held);
  __pipeline_memcpy_async(&held, x, 4);
  y[0] = 0;
}
__global__ void misaligned_copy_kernel(float* y, const float* x) {
  RHEO_SHARED(float4, held);
  __pipeline_memcpy_async(&held, x + 1, 16);
  y[0] = 0;
}

TEST(AsyncCopy, ThatNobodyWaitsFor) {
  const auto with_input = [](void (*kernel)(float*, const float*)) -> Program {
    return [=] {
      const DeviceArray<float> y(1), x(8);
      run(kernel, 1, 1, y.data(), x.data());
      return y.values();
    };
  };
  expect_error(with_input(never_waits_kernel), "returned without waiting for its asynchronous");
  expect_error(with_input(misaligned_copy_kernel), "that is not aligned to its size");
}

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.f)), 0x3f80);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.f + 0x1p-8f)), 0x3f80);  // a tie, to even
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.f + 0x3p-8f)), 0x3f82);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.f + 0x1p-8f + 0x1p-20f)), 0x3f81);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(3.4e38f)), 0x7f80);  // overflows
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(std::nanf(""))), 0x7fff);
  EXPECT_EQ(__bfloat162float(__ushort_as_bfloat16(0xc040)), -3.f);
}

TEST(Intrinsics, MinAndMaxPreferTheNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(max(nan, 1.f), 1.f);
  EXPECT_EQ(min(1.f, nan), 1.f);
  EXPECT_EQ(max(-1, 2L), 2);
  EXPECT_EQ(min(-1, 2), -1);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__umulhi(0x80000000u, 6), 3u);
}

}  // namespace
}  // namespace simt
