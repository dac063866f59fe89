#pragma once

// The sums over all parts of what each has in step_backward's workspace.

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/part_sums.cuh"

namespace rheo::cuda {

constexpr int kAddValues = 8;  // a sector of the workspace
constexpr int kAddSlices = kPartThreads / kAddValues;

/// Where the sum of all parts' value i belongs; null: nowhere.
inline __device__ float* target_of(const StepBackwardArgs& a, std::int64_t i, int out) {
  const std::int64_t n = a.channels;
  if (a.dmix) {
    if (i < n * n) return a.dmix + i;
    i -= n * n;
    if (i < n) return a.dsum + i;
    i -= n;
  }
  if (a.taps == 0) return nullptr;
  if (i < out) return a.dtap_bias + i;
  i -= out;
  if (i < a.taps * out) return a.dtap_edge ? a.dtap_edge + i : nullptr;
  return a.dgain;
}

/// A block adds up kAddValues values: each thread every kAddSlices-th part, all at once, then one
/// thread a value over those.
static __global__ void __launch_bounds__(kPartThreads)
    add_parts_kernel(const StepBackwardArgs a, const int parts, const std::int64_t part_size,
                     const int out) {
  RHEO_SHARED(double, sums, [kAddSlices][kAddValues]);
  const int value = thread() % kAddValues, slice = thread() / kAddValues;
  const std::int64_t i = std::int64_t{blockIdx.x} * kAddValues + value;
  float* to = i < part_size ? target_of(a, i, out) : nullptr;
  double sum = 0;
  if (to)
#pragma unroll 8
    for (int part = slice; part < parts; part += kAddSlices)
      sum += static_cast<double>(a.workspace[part * part_size + i]);
  sums[slice][value] = sum;
  __syncthreads();
  if (slice != 0 || to == nullptr) return;
  sum = 0;
  for (const auto& row : sums) sum += row[value];
  *to += static_cast<float>(sum);
}

inline void add_parts(const StepBackwardArgs& a, Stream stream) {
  const int parts = step_backward_parts(a.grid);
  if (parts == 0 || (a.dmix == nullptr && a.taps == 0)) return;
  const std::int64_t size = part_size_of(a);
  launch(add_parts_kernel, dim3(blocks_of(size, kAddValues)), dim3(kPartThreads), 0, stream, a,
         parts, size, coupling_outputs(a.kind, a.channels - a.passed));
}

}  // namespace rheo::cuda
