#include "kernels/step.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/tile.cuh"

namespace rheo::cuda {
namespace {

// What a block holds of a matrix at a time that it cannot hold all of.
constexpr int kMixRows = 128;
constexpr int kMixColumns = 32;

constexpr int kWarps = kTileThreads / 32;

/// A block's shared memory: where its pieces start, in floats, each on 16 bytes.
struct Room {
  int pixels;           // at a time
  int stride;           // of a state
  int mix, mix_stride;  // M as it is, so that four of a row are one access
  int before, after;    // added to the state, taken off M times that
  int state;            // [pixels, stride]; zero behind the last channel
  int mixed;            // [pixels, stride]; until the mix, what the network returned
  int keys;             // [pixels, C / 2] of the columns' type
  int floats;

  /// `whole_mix`: of channels that there is a kernel for.
  RHEO_HD static Room of(int channels, bool whole_mix) {
    Room room;
    room.pixels = tile_pixels(channels);
    room.stride = shared_stride(channels);
    room.mix = 0;
    room.mix_stride = shared_stride(whole_mix ? channels : kMixColumns);
    room.before = room.mix_stride * (whole_mix || channels < kMixRows ? channels : kMixRows);
    room.after = room.before + room.stride;
    room.state = room.after + room.stride;
    room.mixed = room.state + room.pixels * room.stride;
    room.keys = room.mixed + room.pixels * room.stride;
    room.floats = room.keys + round_up(room.pixels * channels / 2, 4);
    return room;
  }
};

/// What is in a block's memory.
struct Held {
  Room room;
  float* memory;
  SeenRow* seen;
  double* logs;  // sums of log s so far, one a warp
  bool forward;
  bool aligned;  // all that is in device memory, for vectors of 16 bytes

  __device__ float* at(int piece) const { return memory + piece; }
  __device__ Rows<float> state() const { return {memory + room.state, room.stride}; }
  __device__ Rows<float> mixed() const { return {memory + room.mixed, room.stride}; }
};

/// What the network returned for a tile, from its taps: [pixels, out] where `mixed` will be.
__device__ __forceinline__ void gather_outputs(const StepArgs& a, const Images& images,
                                               const Tile& tile, int out, const Held& held) {
  const int stride = a.taps.taps * out;
  const Neighbours from = {a.taps.data + tile.row * stride, stride, a.taps.taps, out, a.taps.edge};
  float* net = held.at(held.room.mixed);
  with_width(out, held.aligned, [&]<int kWidth>() {
    using V = Vector<float, kWidth>;
    gather<+1, kWidth>(
        from, images, tile,
        [&](int, int o) { return a.taps.bias ? load<kWidth>(a.taps.bias + o) : V{}; },
        [&](int p, int o, const V& sum) { store(net + p * out + o, sum); });
  });
}

/// Moves the second half.
template <CouplingKind kKind>
__device__ __forceinline__ void move(const StepArgs& a, const Tile& tile, int channels,
                                     const Held& held) {
  constexpr bool kAffine = kKind != CouplingKind::additive;
  const int half = channels / 2, out = kAffine ? channels : half;
  const float* net = held.at(held.room.mixed);
  double log = 0;
#pragma unroll 1
  for (int k = thread(); k < tile.count * half; k += kTileThreads) {
    const int p = k / half, c = k - p * half;
    const float raw = kAffine ? net[p * out + half + c] : 0.f;
    const math::CouplingScale s = math::coupling_scale<kKind>(raw);
    float& moved = held.state().data[p * held.room.stride + half + c];
    moved = held.forward ? math::coupling_forward(moved, net[p * out + c], s.value)
                         : math::coupling_inverse(moved, net[p * out + c], s.value);
    if (kAffine) log += static_cast<double>(s.log);
    if (kAffine && a.raw) a.raw[tile.row * half + k] = raw;
  }
  if constexpr (kAffine) {
    if (!held.forward) return;
    for (int lanes = 16; lanes > 0; lanes /= 2) log += __shfl_down_sync(0xffffffffu, log, lanes);
    if (thread() % 32 == 0) held.logs[thread() / 32] += log;
  }
}

__device__ __forceinline__ void couple(const StepArgs& a, const Tile& tile, int channels,
                                       const Held& held) {
  switch (a.kind) {
    case CouplingKind::additive:
      return move<CouplingKind::additive>(a, tile, channels, held);
    case CouplingKind::sigmoid2:
      return move<CouplingKind::sigmoid2>(a, tile, channels, held);
    case CouplingKind::bounded:
      return move<CouplingKind::bounded>(a, tile, channels, held);
  }
}

/// Rows and columns of M that are in shared memory.
struct MixPiece {
  int row, rows, column, columns;
  bool first, last;  // of those with these rows
};

/// A thread takes four rows for `kPixels` pixels: every access to shared memory is of 16 bytes, and
/// rows a quarter apart keep the lanes of a warp in different banks.
template <int kPixels, class T>
__device__ __forceinline__ void multiply(const MixPiece& m, int count, int channels, T* keys,
                                         const Held& held) {
  const int quarter = (m.rows + 3) / 4, groups = (count + kPixels - 1) / kPixels;
  const int stride = held.room.stride, half = channels / 2;
  const float *matrix = held.at(held.room.mix), *before = held.at(held.room.before);
  const float* after = held.at(held.room.after);
#pragma unroll 1
  for (int k = thread(); k < groups * quarter; k += kTileThreads) {
    const int group = k / quarter, row = k - group * quarter;
    float y[kPixels][4];
    int p[kPixels];
#pragma unroll
    for (int x = 0; x < kPixels; ++x) {
      p[x] = min(group + x * groups, count - 1);
#pragma unroll
      for (int r = 0; r < 4; ++r)
        y[x][r] = m.first ? 0.f : held.mixed().data[p[x] * stride + m.row + row + r * quarter];
    }
#pragma unroll(kPixels == 1 ? 2 : 1)
    for (int j = 0; j < m.columns; j += 4) {
      Vector<float, 4> z[kPixels];
      const Vector<float, 4> b = load<4>(before + m.column + j);
#pragma unroll
      for (int x = 0; x < kPixels; ++x) {
        z[x] = load<4>(held.state().data + p[x] * stride + m.column + j);
#pragma unroll
        for (int i = 0; i < 4; ++i) z[x].at[i] += b.at[i];
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int at = row + r * quarter < m.rows ? row + r * quarter : row;
        const Vector<float, 4> w = load<4>(matrix + at * held.room.mix_stride + j);
#pragma unroll
        for (int x = 0; x < kPixels; ++x)
#pragma unroll
          for (int i = 0; i < 4; ++i) y[x][r] += w.at[i] * z[x].at[i];
      }
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int i = m.row + row + r * quarter;
      if (row + r * quarter >= m.rows) continue;
#pragma unroll
      for (int x = 0; x < kPixels; ++x) {
        if (group + x * groups >= count) continue;
        const float value = m.last ? y[x][r] - after[i] : y[x][r];
        held.mixed().data[p[x] * stride + i] = value;
        if (m.last && i < half) convert(keys[p[x] * half + i], value);
      }
    }
  }
}

/// mixed = M (state + bias), or M state - bias, of a matrix that is in shared memory (`kWhole`) or
/// comes there piece by piece.
template <bool kWhole, class T>
__device__ __forceinline__ void mix(const StepArgs& a, int count, int channels, T* keys,
                                    const Held& held) {
  const auto take = [&](const MixPiece& m) {
    if (kTilePixels * ((m.rows + 3) / 4) > kTileThreads &&
        count * ((m.rows + 3) / 4) > kTileThreads)
      multiply<2>(m, count, channels, keys, held);
    else
      multiply<1>(m, count, channels, keys, held);
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
        with_width(channels, held.aligned, [&]<int kWidth>() {
          start_copy<kWidth>({held.at(held.room.mix), held.room.mix_stride},
                             {a.mix + std::int64_t{row} * channels + column, channels}, m.columns,
                             round_up(m.columns, 4), m.rows);
        });
        wait_for_copies();
        take(m);
      }
  }
}

template <class T>
__device__ __forceinline__ void write_columns(const StepArgs& a, const Images& images,
                                              const Tile& tile, const SeenRows& seen, int half,
                                              const T* keys, const Held& held) {
  const Columns& c = a.columns;
  write_rows<+1, true>(
      Matrix<T>{static_cast<T*>(c.data) + tile.row * c.stride, c.stride, c.taps, half, c.edge},
      seen, keys, images.width, held.aligned);
}

/// Columns of what an earlier pass kept.
template <class T>
__device__ __forceinline__ void columns_again(const StepArgs& a, const Images& images,
                                              const Tile& tile, int half, const Held& held) {
  T* keys = reinterpret_cast<T*>(held.at(held.room.keys));
  const auto* again = static_cast<const __nv_bfloat16*>(a.again) + tile.row * half;
  for (int k = thread(); k < tile.count * half; k += kTileThreads)
    convert(keys[k], to_float(again[k]));
  const SeenRows seen = find_rows<+1>(images, tile, held.seen);
  __syncthreads();
  write_columns(a, images, tile, seen, half, keys, held);
}

/// From the coupled state to all outputs.
template <bool kWhole, class T>
__device__ __forceinline__ void finish(const StepArgs& a, const Images& images, const Tile& tile,
                                       int channels, const SeenRows& seen, const Held& held) {
  const int half = channels / 2;
  T* keys = reinterpret_cast<T*>(held.at(held.room.keys));
  const auto copy = [&](float* to, const Rows<float>& from) {
    with_width(channels, held.aligned, [&]<int kWidth>() {
      copy_out<kWidth>(to + tile.row * channels, {from.data, from.stride}, channels, tile.count);
    });
  };
  if (a.coupled) copy(a.coupled, held.state());
  if (a.mix)
    mix<kWhole>(a, tile.count, channels, keys, held);
  else
    for (int k = thread(); k < tile.count * half; k += kTileThreads)
      convert(keys[k], held.state().data[k / half * held.room.stride + k % half]);
  __syncthreads();
  if (a.to) copy(a.to, a.mix ? held.mixed() : held.state());
  if (a.kept) {
    auto* kept = static_cast<__nv_bfloat16*>(a.kept) + tile.row * half;
    for (int k = thread(); k < tile.count * half; k += kTileThreads)
      convert(kept[k], to_float(keys[k]));
  }
  if (a.columns.data) write_columns(a, images, tile, seen, half, keys, held);
}

template <bool kWhole, class T>
__device__ __forceinline__ void step_piece(const StepArgs& a, const Images& images,
                                           const Tile& tile, int channels, const Held& held) {
  if (a.again) return columns_again<T>(a, images, tile, channels / 2, held);
  with_width(channels, held.aligned, [&]<int kWidth>() {
    start_copy<kWidth>(held.state(), {a.from + tile.row * channels, channels}, channels,
                       round_up(channels, 4), tile.count);
  });
  if (a.taps.data && a.kind == CouplingKind::additive)
    gather_outputs(a, images, tile, channels / 2, held);
  else if (a.taps.data)
    gather_outputs(a, images, tile, channels, held);
  const SeenRows seen = find_rows<+1>(images, tile, held.seen);
  wait_for_copies();
  if (a.taps.data) {
    couple(a, tile, channels, held);
    __syncthreads();
  }
  finish<kWhole, T>(a, images, tile, channels, seen, held);
}

/// M and its bias, as far as they stay for the block's whole life.
template <bool kWhole>
__device__ __forceinline__ void start_mix(const StepArgs& a, int channels, const Held& held) {
  with_width(channels, held.aligned, [&]<int kWidth>() {
    const int padded = round_up(channels, 4);
    float *before = held.at(held.room.before), *after = held.at(held.room.after);
    start_copy<kWidth>({held.forward ? before : after, 0}, {a.bias, 0}, channels, padded, 1);
    start_copy<kWidth>({held.forward ? after : before, 0}, {a.bias, 0}, 0, padded, 1);
    if (kWhole)
      start_copy<kWidth>({held.at(held.room.mix), held.room.mix_stride}, {a.mix, channels},
                         channels, padded, channels);
  });
}

/// One block, one tile, and once over its memory: everything that depends on nothing else is on its
/// way before the first wait.
template <int kChannels, class T>
__global__ void __launch_bounds__(kTileThreads, kChannels ? 4 : 2)
    step_kernel(const StepArgs a, const Images images, const bool forward, const bool aligned) {
  constexpr bool kWhole = kChannels != 0;
  const int channels = kWhole ? kChannels : a.channels;
  RHEO_DYNAMIC_SHARED(float, memory);
  RHEO_SHARED(SeenRow, seen_rows, [kMaxSeenRows]);
  RHEO_SHARED(double, logs, [kWarps]);
  if (thread() < kWarps) logs[thread()] = 0;
  const Held held = {Room::of(channels, kWhole), memory, seen_rows, logs, forward,
                     kWhole || aligned};
  const Tile tile = tile_at(images, blockIdx.x);
  if (a.mix) start_mix<kWhole>(a, channels, held);
  for (int at = 0; at < (kWhole ? 1 : tile.count); at += held.room.pixels) {
    if (at) __syncthreads();  // the pixels before are written
    step_piece<kWhole, T>(a, images, piece_of(tile, at, held.room.pixels), channels, held);
  }
  if (!forward || a.taps.data == nullptr || thread() != 0) return;
  double log_det = 0;
  for (double log : logs) log_det += log;
  a.log_det.data[tile.image * a.log_det.stride + tile.index] = static_cast<float>(log_det);
}

template <int kChannels>
void launch_step(const StepArgs& a, bool forward, bool aligned, Stream stream) {
  const Images images(a.grid);
  const bool bf16 = a.columns.data && a.columns.type == Dtype::bf16;
  launch(bf16 ? step_kernel<kChannels, __nv_bfloat16> : step_kernel<kChannels, float>,
         dim3(blocks_of(a.grid.count * images.tiles, 1)), dim3(kTileThreads),
         sizeof(float) * Room::of(a.channels, kChannels != 0).floats, stream, a, images, forward,
         aligned);
}

void step(const StepArgs& a, bool forward, Stream stream) {
  const bool aligned = all_aligned({a.from, a.to, a.taps.data, a.taps.bias, a.taps.edge, a.raw,
                                    a.coupled, a.mix, a.bias, a.columns.data});
  if (aligned && a.channels == 12) return launch_step<12>(a, forward, aligned, stream);
  if (aligned && a.channels == 24) return launch_step<24>(a, forward, aligned, stream);
  if (aligned && a.channels == 48) return launch_step<48>(a, forward, aligned, stream);
  launch_step<0>(a, forward, aligned, stream);
}

}  // namespace

void step_forward(const StepArgs& a, Stream stream) {
  step(a, true, stream);
}

void step_inverse(const StepArgs& a, Stream stream) {
  step(a, false, stream);
}

}  // namespace rheo::cuda
