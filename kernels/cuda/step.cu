#include "kernels/step.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/step_mix.cuh"
#include "kernels/cuda/tile.cuh"

namespace rheo::cuda {
namespace {

/// A narrow tile is little work for a warp to set out for, and there are many of them; of wide ones
/// there are few, and each has to be done soon.
template <int kChannels>
constexpr int kStepThreads = kChannels == 12 ? 128 : 256;

/// What the network returned for a tile, from its taps: [pixels, out] where `mixed` will be.
template <bool kWhole>
__device__ __forceinline__ void gather_outputs(const StepArgs& a, const Images& images,
                                               const Tile& tile, int out, const StepBlock& block) {
  const int stride = kWhole ? taps_stride(9, out) : a.taps.stride;
  const Neighbours from = {a.taps.data + tile.row * stride, stride, block.taps, out, a.taps.edge};
  float* net = block.at(block.room.mixed);
  with_width(out | stride, block.aligned, [&]<int kWidth>() {
    using V = Vector<float, kWidth>;
    gather<+1, kWidth>(
        from, images, tile,
        [&](int, int o) { return a.taps.bias ? load<kWidth>(a.taps.bias + o) : V{}; },
        [&](int p, int o, const V& sum) { store(net + p * out + o, sum); });
  });
}

/// Moves all but the passed channels.
template <CouplingKind kKind>
__device__ __forceinline__ void move(const StepArgs& a, const Tile& tile, const StepBlock& block) {
  constexpr bool kAffine = kKind != CouplingKind::additive, kTanh = kKind == CouplingKind::tanh;
  const int passed = block.passed, b = block.channels - passed, out = coupling_outputs(kKind, b);
  const float* net = block.at(block.room.mixed);
  const float gain = kTanh ? *a.gain : 0.f;
  double log = 0;
#pragma unroll 1
  for (int k = thread(); k < tile.count * b; k += threads()) {
    const int p = k / b, c = k - p * b;
    const float raw = kAffine ? net[p * out + b + c] : 0.f;
    const math::CouplingScale s = math::coupling_scale<kKind>(raw, gain);
    float& value = block.state().data[p * block.room.stride + passed + c];
    const math::Moved moved = block.forward
                                  ? math::coupling_forward<kKind>(value, net[p * out + c], s.value)
                                  : math::coupling_inverse<kKind>(value, net[p * out + c], s.value);
    value = moved.value;
    if (kAffine) log += static_cast<double>(s.log);
    if (kAffine && !kTanh && a.raw) a.raw[tile.row * b + k] = raw;
    if (kTanh && a.raw) {
      float* kept = a.raw + (tile.row + p) * (2 * b) + c;
      kept[0] = raw, kept[b] = moved.scaled;
    }
  }
  if constexpr (kAffine) {
    if (!block.forward) return;
    for (int lanes = 16; lanes > 0; lanes /= 2) log += __shfl_down_sync(0xffffffffu, log, lanes);
    if (thread() % 32 == 0) block.logs[thread() / 32] += log;
  }
}

__device__ __forceinline__ void couple(const StepArgs& a, const Tile& tile,
                                       const StepBlock& block) {
  switch (a.kind) {
    case CouplingKind::additive:
      return move<CouplingKind::additive>(a, tile, block);
    case CouplingKind::sigmoid2:
      return move<CouplingKind::sigmoid2>(a, tile, block);
    case CouplingKind::bounded:
      return move<CouplingKind::bounded>(a, tile, block);
    case CouplingKind::tanh:
      return move<CouplingKind::tanh>(a, tile, block);
    case CouplingKind::exponential:
      return move<CouplingKind::exponential>(a, tile, block);
  }
}

template <class T>
__device__ __forceinline__ void write_columns(const StepArgs& a, const Images& images,
                                              const Tile& tile, const SeenRows& seen, const T* keys,
                                              const StepBlock& block) {
  const Columns& c = a.columns;
  write_rows<+1, true>(Matrix<T>{static_cast<T*>(c.data) + tile.row * c.stride, c.stride,
                                 block.columns_taps, block.columns, c.edge},
                       seen, block.deal, keys, images.width, block.aligned);
}

/// Columns of what an earlier pass kept.
template <class T>
__device__ __forceinline__ void columns_again(const StepArgs& a, const Images& images,
                                              const Tile& tile, const StepBlock& block) {
  const int n = block.columns;
  T* keys = reinterpret_cast<T*>(block.at(block.room.keys));
  const auto* again = static_cast<const __nv_bfloat16*>(a.again) + tile.row * n;
#pragma unroll 1
  for (int k = thread(); k < tile.count * n; k += threads()) round_to(keys[k], to_float(again[k]));
  const SeenRows seen = find_rows<+1>(images, tile, block.seen());
  __syncthreads();
  write_columns(a, images, tile, seen, keys, block);
}

/// From the coupled state to all outputs.
template <bool kWhole, class T>
__device__ __forceinline__ void finish(const StepArgs& a, const Images& images, const Tile& tile,
                                       const SeenRows& seen, const StepBlock& block) {
  const int channels = block.channels, n = block.columns;
  T* keys = reinterpret_cast<T*>(block.at(block.room.keys));
  const auto copy = [&](float* to, const Rows<float>& from) {
    with_width(channels, block.aligned, [&]<int kWidth>() {
      copy_out<kWidth>(to + tile.row * channels, {from.data, from.stride}, channels, tile.count);
    });
  };
  if (a.coupled) copy(a.coupled, block.state());
  if (a.mix)
    mix<kWhole>(a, tile.count, keys, block);
  else
#pragma unroll 1
    for (int k = thread(); k < tile.count * n; k += threads()) {
      const int c = k % n;
      const float value = block.state().data[k / n * block.room.stride + c];
      round_to(keys[k], c < block.shown ? value : 0.f);
    }
  __syncthreads();
  if (a.to) copy(a.to, a.mix ? block.mixed() : block.state());
  if (a.kept) {
    auto* kept = static_cast<__nv_bfloat16*>(a.kept) + tile.row * n;
#pragma unroll 1
    for (int k = thread(); k < tile.count * n; k += threads()) round_to(kept[k], to_float(keys[k]));
  }
  if (a.columns.data) write_columns(a, images, tile, seen, keys, block);
}

template <bool kWhole, class T>
__device__ __forceinline__ void step_piece(const StepArgs& a, const Images& images,
                                           const Tile& tile, const StepBlock& block) {
  if (a.again) return columns_again<T>(a, images, tile, block);
  const int channels = block.channels, b = channels - block.passed;
  with_width(channels, block.aligned, [&]<int kWidth>() {
    start_copy<kWidth>(block.state(), {a.from + tile.row * channels, channels}, channels,
                       round_up(channels, 4), tile.count);
  });
  if (a.taps.data && a.kind == CouplingKind::additive)
    gather_outputs<kWhole>(a, images, tile, b, block);
  else if (a.taps.data)
    gather_outputs<kWhole>(a, images, tile, 2 * b, block);
  const SeenRows seen = a.columns.data ? find_rows<+1>(images, tile, block.seen()) : SeenRows{};
  wait_for_copies();
  if (a.taps.data) {
    couple(a, tile, block);
    __syncthreads();
  }
  finish<kWhole, T>(a, images, tile, seen, block);
}

/// One block, one tile, and once over its memory: everything that depends on nothing else is on its
/// way before the first wait. `kWhole`: of channels that are known when compiling, with all of M in
/// shared memory.
template <int kChannels, class T>
__global__ void __launch_bounds__(kStepThreads<kChannels>,
                                  (kChannels ? 1024 : 512) / kStepThreads<kChannels>)
    step_kernel(const StepArgs a, const Images images, const RowDeal deal, const StepRoom room,
                const bool forward, const bool aligned) {
  constexpr bool kWhole = kChannels != 0;
  const int channels = kWhole ? kChannels : a.channels;
  RHEO_DYNAMIC_SHARED(float, memory);
  constexpr int kWarps = kStepThreads<kChannels> / 32;
  RHEO_SHARED(double, logs, [kWarps]);
  if (thread() < kWarps) logs[thread()] = 0;
  const int passed = kWhole ? channels / 2 : a.passed;
  const int columns = kWhole ? channels / 2 : a.columns.channels;
  const StepBlock block = {kWhole ? StepRoom::of_halves(kChannels) : room,
                           memory,
                           logs,
                           deal,
                           channels,
                           passed,
                           kWhole ? 9 : a.taps.taps,
                           kWhole ? 9 : a.columns.taps,
                           columns,
                           kWhole ? columns : columns - a.withheld,
                           kStepThreads<kChannels>,
                           forward,
                           kWhole || aligned};
  const Tile tile = tile_at(images, blockIdx.x);
  if (a.mix) start_mix<kWhole>(a, block);
  for (int at = 0; at < (kWhole ? 1 : tile.count); at += block.room.pixels) {
    if (at) __syncthreads();  // the pixels before are written
    step_piece<kWhole, T>(a, images, piece_of(tile, at, block.room.pixels), block);
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
  const StepRoom room = kChannels ? StepRoom::of_halves(kChannels) : StepRoom::of(a);
  const int chunk = !aligned ? 1 : bf16 ? kRowChunk<__nv_bfloat16> : kRowChunk<float>;
  launch(bf16 ? step_kernel<kChannels, __nv_bfloat16> : step_kernel<kChannels, float>,
         dim3(blocks_of(a.grid.count * images.tiles, 1)), dim3(kStepThreads<kChannels>),
         sizeof(float) * room.floats, stream, a, images,
         RowDeal(a.columns.stride, chunk, kStepThreads<kChannels>), room, forward, aligned);
}

void step(const StepArgs& a, bool forward, Stream stream) {
  const bool aligned = all_aligned({a.from, a.to, a.taps.data, a.taps.bias, a.taps.edge, a.raw,
                                    a.coupled, a.mix, a.bias, a.columns.data});
  const bool columns = a.columns.data || a.kept || a.again;
  const bool of_glow = aligned && a.withheld == 0 &&
                       (a.taps.data == nullptr ||
                        (a.taps.taps == 9 && a.passed * 2 == a.channels &&
                         a.taps.stride == taps_stride(9, coupling_outputs(a.kind, a.passed)))) &&
                       (!columns || (a.columns.taps == 9 && a.columns.channels * 2 == a.channels));
  if (of_glow && a.channels == 12) return launch_step<12>(a, forward, aligned, stream);
  if (of_glow && a.channels == 24) return launch_step<24>(a, forward, aligned, stream);
  if (of_glow && a.channels == 48) return launch_step<48>(a, forward, aligned, stream);
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
