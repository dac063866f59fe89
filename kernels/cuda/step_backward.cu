#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/part_sums.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {
namespace {

// What a block holds of a matrix at a time that it cannot hold all of.
constexpr int kMixRows = 32;
constexpr int kMixColumns = 128;

/// A block's shared memory: where its pieces start, in floats, each on 16 bytes.
struct Room {
  int pixels;           // at a time
  int stride;           // of a state
  int mix, mix_stride;  // M
  int bias;
  int dy;       // [pixels, stride]
  int dv;       // [pixels, stride]; without a mix it is dy
  int coupled;  // [pixels, stride]
  int raw;      // [pixels, C / 2]; draw once it is known
  int floats;

  /// `whole_mix`: of channels that there is a kernel for.
  RHEO_HD static Room of(int channels, bool whole_mix) {
    Room room;
    room.pixels = tile_pixels(channels);
    room.stride = shared_stride(channels);
    room.mix = 0;
    room.mix_stride = shared_stride(whole_mix || channels < kMixColumns ? channels : kMixColumns);
    room.bias = room.mix_stride * (whole_mix ? channels : kMixRows);
    room.dy = room.bias + room.stride;
    room.dv = room.dy + room.pixels * room.stride;
    room.coupled = room.dv + room.pixels * room.stride;
    room.raw = room.coupled + room.pixels * room.stride;
    room.floats = room.raw + round_up(room.pixels * channels / 2, 4);
    return room;
  }
};

/// What all threads of a block know.
struct Block {
  Room room;
  float* memory;
  SeenRow* seen;
  int channels;
  bool aligned;  // all that is in device memory, for vectors of 16 bytes

  __device__ float* at(int piece) const { return memory + piece; }
  __device__ Rows<float> state(int piece) const { return {memory + piece, room.stride}; }
};

/// Starts to copy what a tile needs. With columns' gradients the first half of dy comes later.
__device__ __forceinline__ void start_inputs(const StepBackwardArgs& a, const Tile& tile,
                                             const Block& block) {
  const int n = block.channels, half = n / 2;
  const std::int64_t at = tile.row * n;
  const bool affine = a.taps && a.kind != CouplingKind::additive;
  with_width(half, block.aligned, [&]<int kWidth>() {
    const int skipped = a.dcolumns.data ? half : 0;
    start_copy<kWidth>({block.at(block.room.dy) + skipped, block.room.stride},
                       {a.dy + at + skipped, n}, n - skipped, n - skipped, tile.count);
    if (affine)
      start_copy<kWidth>({block.at(block.room.raw), half}, {a.raw + tile.row * half, half}, half,
                         half, tile.count);
  });
  if (a.mix || affine)
    with_width(n, block.aligned, [&]<int kWidth>() {
      start_copy<kWidth>(block.state(block.room.coupled), {a.coupled + at, n}, n, round_up(n, 4),
                         tile.count);
    });
}

/// The first half of dy and what the columns' gradients add to it.
__device__ __forceinline__ void gather_columns(const StepBackwardArgs& a, const Images& images,
                                               const Tile& tile, const Block& block) {
  const int n = block.channels, half = n / 2;
  const Columns& c = a.dcolumns;
  const Neighbours from = {static_cast<const float*>(c.data) + tile.row * c.stride, c.stride,
                           c.taps, half, nullptr};
  const float* dy = a.dy + tile.row * n;
  float* to = block.at(block.room.dy);
  with_width(half, block.aligned, [&]<int kWidth>() {
    using V = Vector<float, kWidth>;
    gather<-1, kWidth>(
        from, images, tile, [&](int p, int o) { return load<kWidth>(dy + p * n + o); },
        [&](int p, int o, const V& sum) { store(to + p * block.room.stride + o, sum); });
  });
}

/// Rows and columns of M that are in shared memory.
struct MixPiece {
  int row, rows, column, columns;
};

/// dv = M^T dy, or that much more of it. A thread takes four columns for `kPixels` pixels: every
/// access to shared memory is of 16 bytes.
template <int kPixels>
__device__ __forceinline__ void multiply(const MixPiece& m, int count, const Block& block) {
  const int quads = (m.columns + 3) / 4, groups = (count + kPixels - 1) / kPixels;
  const int stride = block.room.stride;
#pragma unroll 1
  for (int k = thread(); k < groups * quads; k += kTileThreads) {
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
    if (m.rows % 4 != 0) take.template operator()<2>(m.rows - 2);
#pragma unroll
    for (int x = 0; x < kPixels; ++x)
      if (group + x * groups < count) store(dv + (group + x * groups) * stride, sum[x]);
  }
}

template <bool kWhole>
__device__ __forceinline__ void mix_backward(const StepBackwardArgs& a, int count,
                                             const Block& block) {
  const int n = block.channels;
  const auto take = [&](const MixPiece& m) {
    const int quads = (m.columns + 3) / 4;
    if (quads * kTilePixels > kTileThreads && quads * count > kTileThreads)
      multiply<2>(m, count, block);
    else
      multiply<1>(m, count, block);
  };
  if constexpr (kWhole) {
    take({0, n, 0, n});
  } else {
    for (int column = 0; column < n; column += kMixColumns)
      for (int row = 0; row < n; row += kMixRows) {
        const MixPiece m = {row, min(kMixRows, n - row), column, min(kMixColumns, n - column)};
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

/// dv becomes the gradient of the coupling's input, raw becomes draw; `net` [pixels, out] is what
/// goes to the network.
template <CouplingKind kKind, class T>
__device__ __forceinline__ void move_backward(const Tile& tile, Rows<float> dv, float dlog_det,
                                              T* net, const Block& block) {
  constexpr bool kAffine = kKind != CouplingKind::additive;
  const int half = block.channels / 2, out = kAffine ? block.channels : half;
  const float* v = block.at(block.room.coupled);
  float* raw = block.at(block.room.raw);
#pragma unroll 1
  for (int k = thread(); k < tile.count * half; k += kTileThreads) {
    const int p = k / half, c = k - p * half;
    float& dy = dv.data[p * dv.stride + half + c];
    if constexpr (kAffine) {
      const math::CouplingScale s = math::coupling_scale<kKind>(raw[k]);
      raw[k] = math::coupling_draw(v[p * dv.stride + half + c], dy, dlog_det, s.slope);
      dy *= s.value;
      round_to(net[p * out + half + c], raw[k]);
    }
    round_to(net[p * out + c], dy);
  }
}

/// From dv to what goes to the network and to the coupling's input.
template <class T, class Sums>
__device__ __forceinline__ void couple_backward(const StepBackwardArgs& a, const Images& images,
                                                const Tile& tile, Rows<float> dv, int out,
                                                const SeenRows& seen, Sums& sums,
                                                const Block& block) {
  // The mix has read dy; without a mix nobody used the room of dv.
  T* net = reinterpret_cast<T*>(block.at(a.mix ? block.room.dy : block.room.dv));
  const float dlog_det = a.dlog_det[tile.image];
  if (a.kind == CouplingKind::additive)
    move_backward<CouplingKind::additive>(tile, dv, dlog_det, net, block);
  if (a.kind == CouplingKind::sigmoid2)
    move_backward<CouplingKind::sigmoid2>(tile, dv, dlog_det, net, block);
  if (a.kind == CouplingKind::bounded)
    move_backward<CouplingKind::bounded>(tile, dv, dlog_det, net, block);
  __syncthreads();
  sums.add_network(
      {{dv.data, dv.stride}, block.at(block.room.raw), block.channels / 2, out, a.taps}, seen,
      tile.count);
  const int stride = a.taps * out;
  const Matrix<T> to = {static_cast<T*>(a.dtaps) + tile.row * stride, stride, a.taps, out, false};
  write_rows<-1, false>(to, seen, net, images.width, block.aligned);
}

template <bool kWhole, class T, class Sums>
__device__ __forceinline__ void backward_piece(const StepBackwardArgs& a, const Images& images,
                                               const Tile& tile, Sums& sums, const Block& block) {
  const int n = block.channels;
  start_inputs(a, tile, block);
  if (a.dcolumns.data) gather_columns(a, images, tile, block);
  const SeenRows seen = a.taps ? find_rows<-1>(images, tile, block.seen) : SeenRows{};
  wait_for_copies();
  const Rows<float> dv = block.state(a.mix ? block.room.dv : block.room.dy);
  if (a.mix) {
    const Rows<float> dy = block.state(block.room.dy), v = block.state(block.room.coupled);
    sums.add_mix({dy.data, dy.stride}, {v.data, v.stride}, block.at(block.room.bias), n,
                 tile.count);
    mix_backward<kWhole>(a, tile.count, block);
    __syncthreads();
  }
  if (a.taps && a.kind == CouplingKind::additive)
    couple_backward<T>(a, images, tile, dv, n / 2, seen, sums, block);
  else if (a.taps)
    couple_backward<T>(a, images, tile, dv, n, seen, sums, block);
  with_width(n, block.aligned, [&]<int kWidth>() {
    copy_out<kWidth>(a.dx + tile.row * n, {dv.data, dv.stride}, n, tile.count);
  });
}

/// One block, one part: its tiles one after another, each once over its memory.
template <int kChannels, class T>
__global__ void __launch_bounds__(kTileThreads, kChannels ? 4 : 2)
    step_backward_kernel(const StepBackwardArgs a, const Images images, const std::int64_t tiles,
                         const std::int64_t part_size, const bool aligned) {
  constexpr bool kWhole = kChannels != 0;
  const int n = kWhole ? kChannels : a.channels;
  RHEO_DYNAMIC_SHARED(float, memory);
  RHEO_SHARED(SeenRow, seen, [kMaxSeenRows]);
  const Block block = {Room::of(n, kWhole), memory, seen, n, kWhole || aligned};
  PartSums<kChannels> sums(part_at(a, n, static_cast<int>(blockIdx.x), part_size), part_size);
  if (a.mix)
    with_width(n, block.aligned, [&]<int kWidth>() {
      start_copy<kWidth>({block.at(block.room.bias), 0}, {a.bias, 0}, n, round_up(n, 4), 1);
      if (kWhole)
        start_copy<kWidth>({block.at(block.room.mix), block.room.mix_stride}, {a.mix, n}, n, n, n);
    });
  const std::int64_t end = tiles * (blockIdx.x + 1) / gridDim.x;
  for (std::int64_t i = tiles * blockIdx.x / gridDim.x; i < end; ++i) {
    const Tile tile = tile_at(images, static_cast<unsigned>(i));
    for (int at = 0; at < (kWhole ? 1 : tile.count); at += block.room.pixels) {
      backward_piece<kWhole, T>(a, images, piece_of(tile, at, block.room.pixels), sums, block);
      __syncthreads();  // the pixels are written
    }
  }
  sums.finish(a, a.kind == CouplingKind::additive ? n / 2 : n, memory);
}

template <int kChannels, class T>
void launch_backward(const StepBackwardArgs& a, bool aligned, Stream stream) {
  const Images images(a.grid);
  const int floats = Room::of(a.channels, kChannels != 0).floats;
  constexpr int kSums = PartSums<kChannels>::kFloats;
  launch(step_backward_kernel<kChannels, T>, dim3(step_backward_parts(a.grid)), dim3(kTileThreads),
         sizeof(float) * (floats > kSums ? floats : kSums), stream, a, images,
         a.grid.count * images.tiles, step_backward_part_size(a.channels, a.taps), aligned);
}

template <class T>
void backward(const StepBackwardArgs& a, Stream stream) {
  const bool aligned =
      all_aligned({a.dy, a.dcolumns.data, a.mix, a.bias, a.coupled, a.raw, a.dtaps, a.dx});
  if (aligned && a.channels == 12) return launch_backward<12, T>(a, aligned, stream);
  if (aligned && a.channels == 24) return launch_backward<24, T>(a, aligned, stream);
  if (aligned && a.channels == 48) return launch_backward<48, T>(a, aligned, stream);
  launch_backward<0, T>(a, aligned, stream);
}

}  // namespace

void step_backward(const StepBackwardArgs& a, Stream stream) {
  if (a.taps && a.dtaps_type == Dtype::bf16)
    backward<__nv_bfloat16>(a, stream);
  else
    backward<float>(a, stream);
  add_parts(a, stream);
}

}  // namespace rheo::cuda
