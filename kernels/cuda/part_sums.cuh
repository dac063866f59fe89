#pragma once

// The sums over the pixels of one part (see step_backward_part_size).

#include <algorithm>

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {

constexpr int kPartThreads = 256;

/// How tiles are dealt to parts: the same number to each, and one more to the first `over`.
struct PartTiles {
  unsigned each, over;

  explicit PartTiles(const Grid& grid) {
    const std::int64_t tiles = grid.count * tiles_of(grid);
    const int parts = std::max(step_backward_parts(grid), 1);
    each = static_cast<unsigned>(tiles / parts), over = static_cast<unsigned>(tiles % parts);
  }

  __device__ __forceinline__ unsigned first(unsigned part) const {
    return part * each + min(part, over);
  }
};

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

/// In registers for the block's whole life: a thread has 4 x 4 values of G for every kGroups-th
/// pixel, and what goes to the network of one channel for every kSlices-th; of that what falls on
/// edges in shared memory, for few pixels do.
template <int kChannels>
class PartSums {
 public:
  /// Floats of shared memory that are the sums' own, where there are edges.
  static constexpr int kEdges = 9 * kPartThreads;
  /// Floats of shared memory that finish() needs.
  static constexpr int floats() { return kBias + kSlices * kChannels; }

  __device__ PartSums(const Part& part, std::int64_t, float* edges) : part_(part), edges_(edges) {
    if (part.edge)
      for (int t = 0; t < 9; ++t) edge(t) = 0;
  }

  /// G += dy (v + bias)^T, sum += dy.
  __device__ __forceinline__ void add_mix(Rows<const float> dy, Rows<const float> v,
                                          const float* bias, int, int count) {
    if (group() >= kGroups) return;
    const Vector<float, 4> b = load<4>(bias + column());
#pragma unroll 1
    for (int p = group(); p < count; p += kGroups) {
      const Vector<float, 4> d = load<4>(dy.data + p * dy.stride + row());
      Vector<float, 4> x = load<4>(v.data + p * v.stride + column());
#pragma unroll
      for (int c = 0; c < 4; ++c) x.at[c] += b.at[c];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        sum_.at[r] += d.at[r];
#pragma unroll
        for (int c = 0; c < 4; ++c) mix_[r].at[c] += d.at[r] * x.at[c];
      }
    }
  }

  __device__ __forceinline__ void add_network(const NetworkGradient& d, const SeenRows& seen,
                                              int count) {
    if (slice() >= kSlices || channel() >= d.out) return;
    const bool shift = channel() < d.moved;
    const int stride = shift ? d.shift.stride : d.draw.stride;
    const float* values = shift ? d.shift.data + channel() : d.draw.data + channel() - d.moved;
#pragma unroll 1
    for (int p = slice(); p < count; p += kSlices) {
      const float value = values[p * stride];
      bias_ += value;
      if (part_.edge)
        for_each_outside(seen.rows[seen.own + p].bits, [&](int t) { edge(t) += value; });
    }
  }

  /// Adds up over threads, in their order, and writes the part. The block has met before.
  __device__ __forceinline__ void finish(const StepBackwardArgs& a, int out, float* memory) {
    stage(memory);
    __syncthreads();
    if (a.dmix) {
      for (int k = thread(); k < kSquare; k += kPartThreads)
        part_.mix[k] = total(memory + k, kGroups, kSquare);
      for (int k = thread(); k < kChannels; k += kPartThreads)
        part_.sum[k] = total(memory + kSum + k, kGroups, kChannels);
    }
    if (a.taps)
      for (int c = thread(); c < out; c += kPartThreads)
        part_.bias[c] = total(memory + kBias + c, kSlices, kChannels);
    if (part_.edge)
      for (int k = thread(); k < 9 * out; k += kPartThreads)
        part_.edge[k] = total(edges_ + k / out * kPartThreads + k % out, kSlices, kChannels);
  }

 private:
  static constexpr int kQuads = kChannels / 4;
  static constexpr int kGroups = kPartThreads / (kQuads * kQuads);
  static constexpr int kSlices = kPartThreads / kChannels;
  // Where finish() puts what: [kGroups, C, C], [kGroups, C] and [kSlices, C] floats.
  static constexpr int kSquare = kChannels * kChannels;
  static constexpr int kSum = kGroups * kSquare;
  static constexpr int kBias = kSum + kGroups * kChannels;

  __device__ static int group() {
    return thread() / (kQuads * kQuads);
  }
  __device__ static int row() {
    return thread() % (kQuads * kQuads) / kQuads * 4;
  }
  __device__ static int column() {
    return thread() % kQuads * 4;
  }
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

  __device__ __forceinline__ void stage(float* memory) const {
    if (group() < kGroups) {
#pragma unroll
      for (int r = 0; r < 4; ++r)
        store(memory + group() * kSquare + (row() + r) * kChannels + column(), mix_[r]);
      if (column() == 0) store(memory + kSum + group() * kChannels + row(), sum_);
    }
    if (slice() < kSlices) memory[kBias + thread()] = bias_;
  }

  /// The thread's, of tap t.
  __device__ float& edge(int t) const {
    return edges_[t * kPartThreads + thread()];
  }

  Part part_;
  float* edges_;
  Vector<float, 4> mix_[4] = {}, sum_ = {};
  float bias_ = 0;
};

/// Of any number of channels: in the workspace itself, each value always the same thread's.
template <>
class PartSums<0> {
 public:
  static constexpr int kEdges = 0;
  static constexpr int floats() { return 0; }

  /// The block has to meet before the first sum.
  __device__ PartSums(const Part& part, std::int64_t size, float*) : part_(part) {
    for (std::int64_t k = thread(); k < size; k += kPartThreads) part_.mix[k] = 0;
  }

  __device__ __forceinline__ void add_mix(Rows<const float> dy, Rows<const float> v,
                                          const float* bias, int channels, int count) {
    const int quads = (channels + 3) / 4;
#pragma unroll 1
    for (int k = thread(); k < quads * quads; k += kPartThreads) {
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
    for (int c = thread(); c < channels; c += kPartThreads) {
      float sum = 0;
      for (int p = 0; p < count; ++p) sum += dy.data[p * dy.stride + c];
      part_.sum[c] += sum;
    }
  }

  __device__ __forceinline__ void add_network(const NetworkGradient& d, const SeenRows& seen,
                                              int count) {
#pragma unroll 1
    for (int o = thread(); o < d.out; o += kPartThreads) {
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

}  // namespace rheo::cuda
