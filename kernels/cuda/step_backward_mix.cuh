#pragma once

// The shared memory of a block of step_backward, and the product with M^T in it.

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {

// What a block holds of a matrix at a time that it cannot hold all of.
constexpr int kBackwardRows = 32;
constexpr int kBackwardColumns = 128;

/// A block's shared memory: where its pieces start, in floats, each on 16 bytes.
struct BackwardRoom {
  int pixels;           // at a time
  int stride;           // of a state
  int mix, mix_stride;  // M
  int bias;
  int dy;       // [pixels, stride]; when the mix has read it, what goes to the network
  int dv;       // [pixels, stride]; without a mix what goes to the network, and dy is dv
  int coupled;  // [pixels, stride]
  int raw;      // [pixels, coupling_kept(...)]; draw, and dshift with `tanh`, once they are known
  int seen;     // [kMaxSeenRows] SeenRow
  int floats;

  /// Of channels that there is a kernel for: half of them pass, columns show the same half, and
  /// windows are of 3x3.
  RHEO_HD static BackwardRoom of_halves(const StepBackwardArgs& a, int channels) {
    return of(channels, channels, kept_of(a, channels / 2), true);
  }

  RHEO_HD static BackwardRoom of(const StepBackwardArgs& a) {
    const int moved = a.channels - a.passed;
    const int outputs = a.taps ? coupling_outputs(a.kind, moved) : 0;
    return of(a.channels, outputs, kept_of(a, moved), false);
  }

 private:
  RHEO_HD static int kept_of(const StepBackwardArgs& a, int moved) {
    return a.taps ? coupling_kept(a.kind, moved) : 0;
  }

  RHEO_HD static BackwardRoom of(int channels, int outputs, int kept, bool whole_mix) {
    BackwardRoom room;
    room.pixels = tile_pixels(channels > outputs ? channels : outputs);
    room.stride = shared_stride(channels);
    room.mix = 0;
    room.mix_stride =
        shared_stride(whole_mix || channels < kBackwardColumns ? channels : kBackwardColumns);
    room.bias = room.mix_stride * (whole_mix ? channels : kBackwardRows);
    room.dy = room.bias + room.stride;
    const int widest = outputs > room.stride ? round_up(outputs, 4) : room.stride;
    room.dv = room.dy + room.pixels * widest;
    room.coupled = room.dv + room.pixels * widest;
    room.raw = room.coupled + room.pixels * room.stride;
    room.seen = room.raw + round_up(room.pixels * kept, 4);
    room.floats = room.seen + kSeenFloats;
    return room;
  }
};

/// What all threads of a block know.
struct BackwardBlock {
  BackwardRoom room;
  float* memory;
  double* gains;  // sums of dL/dgain so far, one a warp
  RowDeal deal;   // to the taps' gradients
  int channels, passed;
  int taps, columns_taps;  // 9 or 1
  int columns;             // their channels
  bool aligned;            // all that is in device memory, for vectors of 16 bytes

  __device__ float* at(int piece) const { return memory + piece; }
  __device__ SeenRow* seen() const { return reinterpret_cast<SeenRow*>(at(room.seen)); }
  __device__ Rows<float> state(int piece) const { return {memory + piece, room.stride}; }
};

/// Rows and columns of M that are in shared memory.
struct BackwardPiece {
  int row, rows, column, columns;
};

/// dv = M^T dy, or that much more of it. A thread takes four columns for `kPixels` pixels: every
/// access to shared memory is of 16 bytes.
template <int kPixels>
__device__ __forceinline__ void multiply(const BackwardPiece& m, int count,
                                         const BackwardBlock& block) {
  const int quads = (m.columns + 3) / 4, groups = (count + kPixels - 1) / kPixels;
  const int stride = block.room.stride;
#pragma unroll 1
  for (int k = thread(); k < groups * quads; k += kPartThreads) {
    const int group = k / quads, j = (k - group * quads) * 4;
    const float* matrix = block.at(block.room.mix) + j;
    float* dv = block.at(block.room.dv) + m.column + j;
    Vector<float, 4> sum[kPixels];
    const float* dy[kPixels];
#pragma unroll
    for (int x = 0; x < kPixels; ++x) {
      const int p = min(group + x * groups, count - 1);
      dy[x] = block.at(block.room.dy) + p * stride + m.row;
      sum[x] = {};
      if (m.row != 0 && group + x * groups < count) sum[x] = load<4>(dv + p * stride);
    }
    const auto take = [&]<int kRows>(int i) {
      Vector<float, kRows> d[kPixels];
#pragma unroll
      for (int x = 0; x < kPixels; ++x) d[x] = load<kRows>(dy[x] + i);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const Vector<float, 4> w = load<4>(matrix + (i + r) * block.room.mix_stride);
#pragma unroll
        for (int x = 0; x < kPixels; ++x)
#pragma unroll
          for (int c = 0; c < 4; ++c) sum[x].at[c] += w.at[c] * d[x].at[r];
      }
    };
#pragma unroll(kPixels == 1 ? 2 : 1)
    for (int i = 0; i + 4 <= m.rows; i += 4) take.template operator()<4>(i);
    if (m.rows % 4 >= 2) take.template operator()<2>(m.rows / 4 * 4);
    if (m.rows % 2 != 0) take.template operator()<1>(m.rows - 1);
#pragma unroll
    for (int x = 0; x < kPixels; ++x)
      if (group + x * groups < count) store(dv + (group + x * groups) * stride, sum[x]);
  }
}

template <bool kWhole>
__device__ __forceinline__ void mix_backward(const StepBackwardArgs& a, int count,
                                             const BackwardBlock& block) {
  const int n = block.channels;
  const auto take = [&](const BackwardPiece& m) {
    const int quads = (m.columns + 3) / 4;
    if (quads * kTilePixels > kPartThreads / 2 && quads * count > kPartThreads / 2)
      multiply<2>(m, count, block);
    else
      multiply<1>(m, count, block);
  };
  if constexpr (kWhole) {
    take({0, n, 0, n});
  } else {
    for (int column = 0; column < n; column += kBackwardColumns)
      for (int row = 0; row < n; row += kBackwardRows) {
        const BackwardPiece m = {row, min(kBackwardRows, n - row), column,
                                 min(kBackwardColumns, n - column)};
        __syncthreads();  // whoever read the piece before is done with it
        with_width(n, block.aligned, [&]<int kWidth>() {
          start_copy<kWidth>({block.at(block.room.mix), block.room.mix_stride},
                             {a.mix + std::int64_t{row} * n + column, n}, m.columns,
                             round_up(m.columns, 4), m.rows);
        });
        wait_for_copies();
        take(m);
      }
  }
}

}  // namespace rheo::cuda
