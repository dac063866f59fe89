#pragma once

// The sums over the pixels of one part (see step_backward_part_size), and of all parts.

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {

/// A part's place in the workspace.
struct Part {
  float* mix;   // [C, C], where dmix is wanted; the part's first value
  float* sum;   // [C], likewise
  float* bias;  // [out]
  float* edge;  // [taps, out]; null: none
  float* gain;  // [1] of `tanh`
};

inline std::int64_t part_size_of(const StepBackwardArgs& a) {
  return step_backward_part_size(a.kind, a.channels, a.channels - a.passed, a.taps,
                                 a.dmix != nullptr);
}

__device__ __forceinline__ Part part_at(const StepBackwardArgs& a, int channels, int out, int index,
                                        std::int64_t size) {
  const std::int64_t n = channels;
  float* mix = a.workspace + index * size;
  float *sum = mix + (a.dmix ? n * n : 0), *bias = sum + (a.dmix ? n : 0);
  return {mix, sum, bias, a.taps && a.dtap_edge ? bias + out : nullptr, mix + size - 1};
}

/// What goes to the network for a tile: dshift, then draw, of `moved` channels each.
struct NetworkGradient {
  Rows<const float> shift, draw;
  int moved, out, taps;

  __device__ float at(int p, int o) const {
    return o < moved ? shift.data[p * shift.stride + o] : draw.data[p * draw.stride + o - moved];
  }
};

/// Calls f(t) for each tap t along the convolution that falls outside the image. The row tells of
/// the transpose's, which are the same in the other order.
template <class F>
__device__ __forceinline__ void for_each_outside(unsigned bits, const F& f) {
  if ((~bits & kAllTaps) == 0) return;
#pragma unroll
  for (int t = 0; t < 9; ++t)
    if (!(bits >> (8 - t) & 1u)) f(t);
}

/// In registers for the block's whole life: a thread has 3 x 3 values of G for every kGroups-th
/// pixel, and all sums of one channel for every kSlices-th.
template <int kChannels>
class PartSums {
 public:
  /// Floats of shared memory that finish() needs.
  static constexpr int kFloats = kTileThreads * 9 + kTileThreads / kChannels * kChannels * 11;

  __device__ PartSums(const Part& part, std::int64_t) : part_(part) {}

  /// G += dy (v + bias)^T, sum += dy.
  __device__ __forceinline__ void add_mix(Rows<const float> dy, Rows<const float> v,
                                          const float* bias, int, int count) {
    const int first = thread() / (kSide * kSide), within = thread() % (kSide * kSide);
    const int i = within / kSide, j = within % kSide;
    float b[3];
#pragma unroll
    for (int y = 0; y < 3; ++y) b[y] = bias[j + y * kSide];
#pragma unroll 1
    for (int p = first; p < count; p += kGroups)
#pragma unroll
      for (int x = 0; x < 3; ++x) {
        const float d = dy.data[p * dy.stride + i + x * kSide];
#pragma unroll
        for (int y = 0; y < 3; ++y)
          mix_[x * 3 + y] += d * (v.data[p * v.stride + j + y * kSide] + b[y]);
      }
    if (slice() >= kSlices) return;
#pragma unroll 1
    for (int p = slice(); p < count; p += kSlices) sum_ += dy.data[p * dy.stride + channel()];
  }

  __device__ __forceinline__ void add_network(const NetworkGradient& d, const SeenRows& seen,
                                              int count) {
    if (slice() >= kSlices || channel() >= d.out) return;
#pragma unroll 1
    for (int p = slice(); p < count; p += kSlices) {
      const float value = d.at(p, channel());
      bias_ += value;
      if (part_.edge)
        for_each_outside(seen.rows[seen.own + p].bits, [&](int t) { edge_[t] += value; });
    }
  }

  /// Adds up over threads, in their order, and writes the part. The block has met before.
  __device__ __forceinline__ void finish(const StepBackwardArgs& a, int out, float* memory) {
    constexpr int kSquare = kChannels * kChannels;
    float* sums = memory + kTileThreads * 9;
    stage(memory, sums);
    __syncthreads();
    if (a.dmix)
      for (int k = thread(); k < kSquare; k += kTileThreads)
        part_.mix[k] = total(memory + k, kGroups, kSquare);
    for (int k = thread(); k < kChannels * 11; k += kTileThreads) {
      const int which = k / kChannels, c = k % kChannels;
      const float value = total(sums + k, kSlices, kChannels * 11);
      if (which == 0 && a.dmix) part_.sum[c] = value;
      if (which == 0 || a.taps == 0 || c >= out) continue;
      if (which == 1) part_.bias[c] = value;
      const int tap = a.taps == 1 ? (which == 2 + 4 ? 0 : -1) : which - 2;
      if (part_.edge && which >= 2 && tap >= 0) part_.edge[tap * out + c] = value;
    }
  }

 private:
  static constexpr int kSide = kChannels / 3;
  static constexpr int kGroups = kTileThreads / (kSide * kSide);
  static constexpr int kSlices = kTileThreads / kChannels;

  __device__ static int slice() {
    return thread() / kChannels;
  }
  __device__ static int channel() {
    return thread() % kChannels;
  }

  __device__ static float total(const float* values, int count, int stride) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += static_cast<double>(values[i * stride]);
    return static_cast<float>(sum);
  }

  __device__ __forceinline__ void stage(float* squares, float* sums) const {
    const int group = thread() / (kSide * kSide), within = thread() % (kSide * kSide);
    float* to = squares + group * kChannels * kChannels;
#pragma unroll
    for (int x = 0; x < 3; ++x)
#pragma unroll
      for (int y = 0; y < 3; ++y)
        to[(within / kSide + x * kSide) * kChannels + within % kSide + y * kSide] = mix_[x * 3 + y];
    if (slice() >= kSlices) return;
    to = sums + slice() * kChannels * 11 + channel();
    to[0] = sum_, to[kChannels] = bias_;
#pragma unroll
    for (int t = 0; t < 9; ++t) to[(2 + t) * kChannels] = edge_[t];
  }

  Part part_;
  float mix_[9] = {}, sum_ = 0, bias_ = 0, edge_[9] = {};
};

/// Of any number of channels: in the workspace itself, each value always the same thread's.
template <>
class PartSums<0> {
 public:
  static constexpr int kFloats = 0;

  /// The block has to meet before the first sum.
  __device__ PartSums(const Part& part, std::int64_t size) : part_(part) {
    for (std::int64_t k = thread(); k < size; k += kTileThreads) part_.mix[k] = 0;
  }

  __device__ __forceinline__ void add_mix(Rows<const float> dy, Rows<const float> v,
                                          const float* bias, int channels, int count) {
    const int quads = (channels + 3) / 4;
#pragma unroll 1
    for (int k = thread(); k < quads * quads; k += kTileThreads) {
      const int i = k / quads * 4, j = k % quads * 4;
      float g[4][4] = {};
      add_square(dy, v, load<4>(bias + j), i, j, count, g);
#pragma unroll
      for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int c = 0; c < 4; ++c)
          if (i + r < channels && j + c < channels)
            part_.mix[std::int64_t{i + r} * channels + j + c] += g[r][c];
    }
#pragma unroll 1
    for (int c = thread(); c < channels; c += kTileThreads) {
      float sum = 0;
      for (int p = 0; p < count; ++p) sum += dy.data[p * dy.stride + c];
      part_.sum[c] += sum;
    }
  }

  __device__ __forceinline__ void add_network(const NetworkGradient& d, const SeenRows& seen,
                                              int count) {
#pragma unroll 1
    for (int o = thread(); o < d.out; o += kTileThreads) {
      float bias = 0, edge[9] = {};
#pragma unroll 1
      for (int p = 0; p < count; ++p) {
        const float value = d.at(p, o);
        bias += value;
        for_each_outside(seen.rows[seen.own + p].bits, [&](int t) { edge[t] += value; });
      }
      part_.bias[o] += bias;
      if (part_.edge == nullptr || d.taps == 1) continue;
#pragma unroll
      for (int t = 0; t < 9; ++t) part_.edge[t * d.out + o] += edge[t];
    }
  }

  __device__ void finish(const StepBackwardArgs&, int, float*) const {}

 private:
  /// 4 x 4 values of G over the pixels.
  __device__ static __forceinline__ void add_square(Rows<const float> dy, Rows<const float> v,
                                                    const Vector<float, 4>& bias, int i, int j,
                                                    int count, float (&g)[4][4]) {
#pragma unroll 1
    for (int p = 0; p < count; ++p) {
      const Vector<float, 4> d = load<4>(dy.data + p * dy.stride + i);
      const Vector<float, 4> x = load<4>(v.data + p * v.stride + j);
#pragma unroll
      for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int c = 0; c < 4; ++c) g[r][c] += d.at[r] * (x.at[c] + bias.at[c]);
    }
  }

  Part part_;
};

constexpr int kAddValues = 8;  // a sector of the workspace
constexpr int kAddSlices = kTileThreads / kAddValues;

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
static __global__ void __launch_bounds__(kTileThreads)
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
  launch(add_parts_kernel, dim3(blocks_of(size, kAddValues)), dim3(kTileThreads), 0, stream, a,
         parts, size, coupling_outputs(a.kind, a.channels - a.passed));
}

}  // namespace rheo::cuda
