#include "kernels/log_det.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace rheo::cuda {
namespace {

constexpr int kWarp = 32, kThreads = 128;

/// A warp an image, each lane's share in order and then a tree: rows are short, and latency
/// decides.
__global__ void __launch_bounds__(kThreads) log_det_sum_kernel(LogDetArgs a) {
  const std::int64_t n = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (n >= a.count) return;  // a warp as a whole
  const float* partials = a.partials.data + n * a.partials.stride;
  double sum = 0;
#pragma unroll 8
  for (int i = lane; i < a.used; i += kWarp) sum += static_cast<double>(partials[i]);
#pragma unroll 4
  for (int i = lane; i < a.constant_count; i += kWarp) sum += a.constants[i];
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_down_sync(~0u, sum, distance);
  if (lane == 0) a.log_prob[n] = sum;
}

}  // namespace

void log_det_sum(const LogDetArgs& a, Stream stream) {
  launch(log_det_sum_kernel, blocks_of(a.count, kThreads / kWarp), kThreads, 0, stream, a);
}

}  // namespace rheo::cuda
