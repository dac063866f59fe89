#include "kernels/step.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/step_mix.cuh"
#include "kernels/cuda/tile.cuh"

namespace rheo::cuda {
namespace {

constexpr int kWarps = kTileThreads / 32;

/// What the network returned for a tile, from its taps: [pixels, out] where `mixed` will be.
__device__ __forceinline__ void gather_outputs(const StepArgs& a, const Images& images,
                                               const Tile& tile, int out, const StepBlock& block) {
  const int stride = a.taps.taps * out;
  const Neighbours from = {a.taps.data + tile.row * stride, stride, a.taps.taps, out, a.taps.edge};
  float* net = block.at(block.room.mixed);
  with_width(out, block.aligned, [&]<int kWidth>() {
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
                                     const StepBlock& block) {
  constexpr bool kAffine = kKind != CouplingKind::additive;
  const int half = channels / 2, out = kAffine ? channels : half;
  const float* net = block.at(block.room.mixed);
  double log = 0;
#pragma unroll 1
  for (int k = thread(); k < tile.count * half; k += kTileThreads) {
    const int p = k / half, c = k - p * half;
    const float raw = kAffine ? net[p * out + half + c] : 0.f;
    const math::CouplingScale s = math::coupling_scale<kKind>(raw);
    float& moved = block.state().data[p * block.room.stride + half + c];
    moved = block.forward ? math::coupling_forward(moved, net[p * out + c], s.value)
                          : math::coupling_inverse(moved, net[p * out + c], s.value);
    if (kAffine) log += static_cast<double>(s.log);
    if (kAffine && a.raw) a.raw[tile.row * half + k] = raw;
  }
  if constexpr (kAffine) {
    if (!block.forward) return;
    for (int lanes = 16; lanes > 0; lanes /= 2) log += __shfl_down_sync(0xffffffffu, log, lanes);
    if (thread() % 32 == 0) block.logs[thread() / 32] += log;
  }
}

__device__ __forceinline__ void couple(const StepArgs& a, const Tile& tile, int channels,
                                       const StepBlock& block) {
  switch (a.kind) {
    case CouplingKind::additive:
      return move<CouplingKind::additive>(a, tile, channels, block);
    case CouplingKind::sigmoid2:
      return move<CouplingKind::sigmoid2>(a, tile, channels, block);
    case CouplingKind::bounded:
      return move<CouplingKind::bounded>(a, tile, channels, block);
  }
}

template <class T>
__device__ __forceinline__ void write_columns(const StepArgs& a, const Images& images,
                                              const Tile& tile, const SeenRows& seen, int half,
                                              const T* keys, const StepBlock& block) {
  const Columns& c = a.columns;
  write_rows<+1, true>(
      Matrix<T>{static_cast<T*>(c.data) + tile.row * c.stride, c.stride, c.taps, half, c.edge},
      seen, keys, images.width, block.aligned);
}

/// Columns of what an earlier pass kept.
template <class T>
__device__ __forceinline__ void columns_again(const StepArgs& a, const Images& images,
                                              const Tile& tile, int half, const StepBlock& block) {
  T* keys = reinterpret_cast<T*>(block.at(block.room.keys));
  const auto* again = static_cast<const __nv_bfloat16*>(a.again) + tile.row * half;
  for (int k = thread(); k < tile.count * half; k += kTileThreads)
    round_to(keys[k], to_float(again[k]));
  const SeenRows seen = find_rows<+1>(images, tile, block.seen);
  __syncthreads();
  write_columns(a, images, tile, seen, half, keys, block);
}

/// From the coupled state to all outputs.
template <bool kWhole, class T>
__device__ __forceinline__ void finish(const StepArgs& a, const Images& images, const Tile& tile,
                                       int channels, const SeenRows& seen, const StepBlock& block) {
  const int half = channels / 2;
  T* keys = reinterpret_cast<T*>(block.at(block.room.keys));
  const auto copy = [&](float* to, const Rows<float>& from) {
    with_width(channels, block.aligned, [&]<int kWidth>() {
      copy_out<kWidth>(to + tile.row * channels, {from.data, from.stride}, channels, tile.count);
    });
  };
  if (a.coupled) copy(a.coupled, block.state());
  if (a.mix)
    mix<kWhole>(a, tile.count, channels, keys, block);
  else
    for (int k = thread(); k < tile.count * half; k += kTileThreads)
      round_to(keys[k], block.state().data[k / half * block.room.stride + k % half]);
  __syncthreads();
  if (a.to) copy(a.to, a.mix ? block.mixed() : block.state());
  if (a.kept) {
    auto* kept = static_cast<__nv_bfloat16*>(a.kept) + tile.row * half;
    for (int k = thread(); k < tile.count * half; k += kTileThreads)
      round_to(kept[k], to_float(keys[k]));
  }
  if (a.columns.data) write_columns(a, images, tile, seen, half, keys, block);
}

template <bool kWhole, class T>
__device__ __forceinline__ void step_piece(const StepArgs& a, const Images& images,
                                           const Tile& tile, int channels, const StepBlock& block) {
  if (a.again) return columns_again<T>(a, images, tile, channels / 2, block);
  with_width(channels, block.aligned, [&]<int kWidth>() {
    start_copy<kWidth>(block.state(), {a.from + tile.row * channels, channels}, channels,
                       round_up(channels, 4), tile.count);
  });
  if (a.taps.data && a.kind == CouplingKind::additive)
    gather_outputs(a, images, tile, channels / 2, block);
  else if (a.taps.data)
    gather_outputs(a, images, tile, channels, block);
  const SeenRows seen = find_rows<+1>(images, tile, block.seen);
  wait_for_copies();
  if (a.taps.data) {
    couple(a, tile, channels, block);
    __syncthreads();
  }
  finish<kWhole, T>(a, images, tile, channels, seen, block);
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
  const StepBlock block = {
      StepRoom::of(channels, kWhole), memory, seen_rows, logs, forward, kWhole || aligned};
  const Tile tile = tile_at(images, blockIdx.x);
  if (a.mix) start_mix<kWhole>(a, channels, block);
  for (int at = 0; at < (kWhole ? 1 : tile.count); at += block.room.pixels) {
    if (at) __syncthreads();  // the pixels before are written
    step_piece<kWhole, T>(a, images, piece_of(tile, at, block.room.pixels), channels, block);
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
         sizeof(float) * StepRoom::of(a.channels, kChannels != 0).floats, stream, a, images,
         forward, aligned);
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
