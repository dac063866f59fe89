#include "kernels/moments.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace rheo::cuda {
namespace {

constexpr int kLanes = 8;  // channels of a block: the sector that every row has to give anyway
constexpr int kRows = 32;  // read by a block at once
constexpr int kThreads = kLanes * kRows;

/// Sum of term(x) over the rows of a channel: each thread's in order, then a tree. All threads of
/// the channel get it.
template <class F>
__device__ double sum_of_rows(const MomentsArgs& a, int channel, double (&sums)[kRows][kLanes],
                              const F& term) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int first = static_cast<int>(threadIdx.x) / kLanes;
  double sum = 0;
  if (channel < a.channels) {
#pragma unroll 8
    for (std::int64_t r = first; r < a.rows; r += kRows)
      sum += term(static_cast<double>(a.x[r * a.stride + channel]));
  }
  __syncthreads();  // who still reads the sums before
  sums[first][lane] = sum;
  for (int half = kRows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (first < half) sums[first][lane] += sums[first + half][lane];
  }
  __syncthreads();
  return sums[0][lane];
}

/// A block takes eight channels through all rows, twice: with no room for parts of sums there is
/// no more to share out, and initialisation alone asks.
__global__ void __launch_bounds__(kThreads) moments_of_channels_kernel(MomentsArgs a) {
  RHEO_SHARED(double, sums, [kRows][kLanes]);
  const int channel = static_cast<int>(blockIdx.x * kLanes + threadIdx.x % kLanes);
  const double sum = sum_of_rows(a, channel, sums, [](double x) { return x; });
  const double mean = sum / static_cast<double>(a.rows);
  const double deviation =
      sum_of_rows(a, channel, sums, [=](double x) { return (x - mean) * (x - mean); });
  if (threadIdx.x >= kLanes || channel >= a.channels) return;
  a.mean[channel] = mean;
  a.deviation[channel] = deviation;
}

}  // namespace

void moments_of_channels(const MomentsArgs& a, Stream stream) {
  launch(moments_of_channels_kernel, blocks_of(a.channels, kLanes), kThreads, 0, stream, a);
}

}  // namespace rheo::cuda
