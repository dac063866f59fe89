#pragma once

// The shared memory of a step's block, and the product with M in it.

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {

// What a block holds of a matrix at a time that it cannot hold all of.
constexpr int kMixRows = 128;
constexpr int kMixColumns = 32;

/// A block's shared memory: where its pieces start, in floats, each on 16 bytes.
struct StepRoom {
  int pixels;           // at a time
  int stride;           // of a state
  int mix, mix_stride;  // M as it is, so that four of a row are one access
  int before, after;    // added to the state, taken off M times that
  int state;            // [pixels, stride]; zero behind the last channel
  int mixed;            // [pixels, stride]; until the mix, what the network returned
  int keys;             // [pixels, columns.channels] of the columns' type
  int seen;             // [kMaxSeenRows] SeenRow
  int floats;

  /// Of channels that there is a kernel for: half of them pass, columns show the same half, and
  /// windows are of 3x3.
  RHEO_HD static StepRoom of_halves(int channels) {
    return of(channels, channels, channels / 2, true);
  }

  RHEO_HD static StepRoom of(const StepArgs& a) {
    const int outputs = a.taps.data ? coupling_outputs(a.kind, a.channels - a.passed) : 0;
    return of(a.channels, outputs, a.columns.channels, false);
  }

 private:
  RHEO_HD static StepRoom of(int channels, int outputs, int columns, bool whole_mix) {
    const int widest = channels > outputs ? channels : outputs;
    StepRoom room;
    room.pixels = tile_pixels(widest);
    room.stride = shared_stride(channels);
    room.mix = 0;
    room.mix_stride = shared_stride(whole_mix ? channels : kMixColumns);
    room.before = room.mix_stride * (whole_mix || channels < kMixRows ? channels : kMixRows);
    room.after = room.before + room.stride;
    room.state = room.after + room.stride;
    room.mixed = room.state + room.pixels * room.stride;
    room.keys =
        room.mixed + room.pixels * (outputs > room.stride ? round_up(outputs, 4) : room.stride);
    room.seen = room.keys + round_up(room.pixels * columns, 4);
    room.floats = room.seen + kSeenFloats;
    return room;
  }
};

/// What all threads of a block know.
struct StepBlock {
  StepRoom room;
  float* memory;
  double* logs;  // sums of log s so far, one a warp
  RowDeal deal;  // to columns
  int channels, passed;
  int taps, columns_taps;  // 9 or 1
  int columns;             // their channels
  int shown;               // of which so many are not withheld
  int threads;             // threads(), known when compiling
  bool forward;
  bool aligned;  // all that is in device memory, for vectors of 16 bytes

  __device__ float* at(int piece) const { return memory + piece; }
  __device__ SeenRow* seen() const { return reinterpret_cast<SeenRow*>(at(room.seen)); }
  __device__ Rows<float> state() const { return {memory + room.state, room.stride}; }
  __device__ Rows<float> mixed() const { return {memory + room.mixed, room.stride}; }
};

/// M and its bias, as far as they stay for the block's whole life.
template <bool kWhole>
__device__ __forceinline__ void start_mix(const StepArgs& a, const StepBlock& block) {
  const int channels = block.channels;
  with_width(channels, block.aligned, [&]<int kWidth>() {
    const int padded = round_up(channels, 4);
    float *before = block.at(block.room.before), *after = block.at(block.room.after);
    start_copy<kWidth>({block.forward ? before : after, 0}, {a.bias, 0}, channels, padded, 1);
    start_copy<kWidth>({block.forward ? after : before, 0}, {a.bias, 0}, 0, padded, 1);
    if (kWhole)
      start_copy<kWidth>({block.at(block.room.mix), block.room.mix_stride}, {a.mix, channels},
                         channels, padded, channels);
  });
}

/// Rows and columns of M that are in shared memory.
struct MixPiece {
  int row, rows, column, columns;
  bool first, last;  // of those with these rows
};

/// A thread takes four rows for `kPixels` pixels: every access to shared memory is of 16 bytes, and
/// rows a quarter apart keep the lanes of a warp in different banks. Unsigned: what a remainder can
/// be then settles most conditions at compile time where m is known.
template <int kPixels, class T>
__device__ __forceinline__ void multiply(const MixPiece& m, int count, T* keys,
                                         const StepBlock& block) {
  const unsigned rows = m.rows, quarter = (rows + 3) / 4;
  const unsigned pixels = count, groups = (pixels + kPixels - 1) / kPixels;
  const int stride = block.room.stride, columns = block.columns;
  const float *matrix = block.at(block.room.mix), *before = block.at(block.room.before),
              *after = block.at(block.room.after);
#pragma unroll 1
  for (unsigned k = threadIdx.x; k < groups * quarter; k += block.threads) {
    const unsigned group = k / quarter, row = k % quarter;
    const auto is_row = [&](unsigned r) { return rows % 4 == 0 || row + r * quarter < rows; };
    float y[kPixels][4];
    int p[kPixels];
#pragma unroll
    for (int x = 0; x < kPixels; ++x) {
      p[x] = min(static_cast<int>(group + x * groups), count - 1);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        // What is not this thread's to write may be another's.
        const bool none = m.first || group + x * groups >= pixels || !is_row(r);
        const int i = m.row + static_cast<int>(row + r * quarter);
        y[x][r] = none ? 0.f : block.mixed().data[p[x] * stride + i];
      }
    }
#pragma unroll(kPixels == 1 ? 2 : 1)
    for (int j = 0; j < m.columns; j += 4) {
      Vector<float, 4> z[kPixels];
      const Vector<float, 4> b = load<4>(before + m.column + j);
#pragma unroll
      for (int x = 0; x < kPixels; ++x) {
        z[x] = load<4>(block.state().data + p[x] * stride + m.column + j);
#pragma unroll
        for (int i = 0; i < 4; ++i) z[x].at[i] += b.at[i];
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int at = static_cast<int>(is_row(r) ? row + r * quarter : row);
        const Vector<float, 4> w = load<4>(matrix + at * block.room.mix_stride + j);
#pragma unroll
        for (int x = 0; x < kPixels; ++x)
#pragma unroll
          for (int i = 0; i < 4; ++i) y[x][r] += w.at[i] * z[x].at[i];
      }
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (!is_row(r)) continue;
      const int i = m.row + static_cast<int>(row + r * quarter);
#pragma unroll
      for (int x = 0; x < kPixels; ++x) {
        if (group + x * groups >= pixels) continue;
        const float value = m.last ? y[x][r] - after[i] : y[x][r];
        block.mixed().data[p[x] * stride + i] = value;
        if (m.last && i < columns)
          round_to(keys[p[x] * columns + i], i < block.shown ? value : 0.f);
      }
    }
  }
}

/// mixed = M (state + bias), or M state - bias, of a matrix that is in shared memory (`kWhole`) or
/// comes there piece by piece.
template <bool kWhole, class T>
__device__ __forceinline__ void mix(const StepArgs& a, int count, T* keys, const StepBlock& block) {
  const int channels = block.channels;
  const auto take = [&](const MixPiece& m) {
    if (kTilePixels * ((m.rows + 3) / 4) > block.threads &&
        count * ((m.rows + 3) / 4) > block.threads)
      multiply<2>(m, count, keys, block);
    else
      multiply<1>(m, count, keys, block);
  };
  if constexpr (kWhole) {
    take({0, channels, 0, channels, true, true});
  } else {
    for (int row = 0; row < channels; row += kMixRows)
      for (int column = 0; column < channels; column += kMixColumns) {
        const MixPiece m = {row,         min(kMixRows, channels - row),
                            column,      min(kMixColumns, channels - column),
                            column == 0, column + kMixColumns >= channels};
        __syncthreads();  // whoever read the piece before is done with it
        with_width(channels, block.aligned, [&]<int kWidth>() {
          start_copy<kWidth>({block.at(block.room.mix), block.room.mix_stride},
                             {a.mix + std::int64_t{row} * channels + column, channels}, m.columns,
                             round_up(m.columns, 4), m.rows);
        });
        wait_for_copies();
        take(m);
      }
  }
}

}  // namespace rheo::cuda
