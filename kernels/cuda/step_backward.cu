#include <algorithm>

#include "kernels/cuda/add_parts.cuh"
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/part_sums.cuh"
#include "kernels/cuda/step_backward_mix.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/step.h"

namespace rheo::cuda {
namespace {

/// Starts to copy what a tile needs. With columns' gradients the first channels of dy come later.
template <bool kWhole>
__device__ __forceinline__ void start_inputs(const StepBackwardArgs& a, const Tile& tile,
                                             const BackwardBlock& block) {
  const int n = block.channels, b = n - block.passed;
  const std::int64_t at = tile.row * n;
  const bool affine = a.taps && a.kind != CouplingKind::additive;
  const auto start_dy = [&](int skipped) {
    // A width that divides both divides their difference.
    with_width(n | block.columns, block.aligned, [&]<int kWidth>() {
      start_copy<kWidth>({block.at(block.room.dy) + skipped, block.room.stride},
                         {a.dy + at + skipped, n}, n - skipped, n - skipped, tile.count);
    });
  };
  if (a.dcolumns.data)
    start_dy(block.columns);
  else
    start_dy(0);
  if (affine)
    with_width(b, block.aligned, [&]<int kWidth>() {
      const int kept = kWhole ? b : coupling_kept(a.kind, b);
      start_copy<kWidth>({block.at(block.room.raw), kept}, {a.raw + tile.row * kept, kept}, kept,
                         kept, tile.count);
    });
  if (a.dmix || (affine && a.kind != CouplingKind::tanh))
    with_width(n, block.aligned, [&]<int kWidth>() {
      start_copy<kWidth>(block.state(block.room.coupled), {a.coupled + at, n}, n, round_up(n, 4),
                         tile.count);
    });
}

/// The first channels of dy and what the columns' gradients add to them.
__device__ __forceinline__ void gather_columns(const StepBackwardArgs& a, const Images& images,
                                               const Tile& tile, const BackwardBlock& block) {
  const int n = block.channels;
  const Columns& c = a.dcolumns;
  const Neighbours from = {static_cast<const float*>(c.data) + tile.row * c.stride, c.stride,
                           block.columns_taps, block.columns, nullptr};
  const float* dy = a.dy + tile.row * n;
  float* to = block.at(block.room.dy);
  with_width(n | block.columns, block.aligned, [&]<int kWidth>() {
    using V = Vector<float, kWidth>;
    gather<-1, kWidth>(
        from, images, tile, [&](int p, int o) { return load<kWidth>(dy + p * n + o); },
        [&](int p, int o, const V& sum) { store(to + p * block.room.stride + o, sum); });
  });
}

/// dv becomes the gradient of the coupling's input, raw what goes to the network but for what the
/// two share; `net` [pixels, out] is all that goes there.
template <CouplingKind kKind, class T>
__device__ __forceinline__ void move_backward(const StepBackwardArgs& a, const Tile& tile,
                                              Rows<float> dv, T* net, const BackwardBlock& block) {
  constexpr bool kAffine = kKind != CouplingKind::additive, kTanh = kKind == CouplingKind::tanh;
  const int passed = block.passed, b = block.channels - passed;
  const int out = coupling_outputs(kKind, b), kept = coupling_kept(kKind, b);
  const float* v = block.at(block.room.coupled) + passed;
  float* raw = block.at(block.room.raw);
  const float dlog_det = a.dlog_det[tile.image], gain = kTanh ? *a.gain : 0.f;
  double dgain = 0;
#pragma unroll 1
  for (int k = thread(); k < tile.count * b; k += kPartThreads) {
    const int p = k / b, c = k - p * b;
    float& dy = dv.data[p * dv.stride + passed + c];
    if constexpr (kAffine) {
      float& draw = raw[p * kept + c];
      const float scaled = kTanh ? raw[p * kept + b + c] : v[p * dv.stride + c];
      const math::CouplingGradient d =
          math::coupling_backward<kKind>(draw, gain, scaled, dy, dlog_det);
      draw = d.draw, dy = d.dx;
      round_to(net[p * out + c], d.dshift);
      round_to(net[p * out + b + c], d.draw);
      if (kTanh) raw[p * kept + b + c] = d.dshift, dgain += static_cast<double>(d.dgain);
    } else {
      round_to(net[p * out + c], dy);
    }
  }
  if constexpr (kTanh) {
    for (int lanes = 16; lanes > 0; lanes /= 2)
      dgain += __shfl_down_sync(0xffffffffu, dgain, lanes);
    if (thread() % 32 == 0) block.gains[thread() / 32] += dgain;
  }
}

/// From dv to what goes to the network and to the coupling's input. `kWhole` kernels know Glow's
/// kinds alone: with all of them the compiler spills registers.
template <bool kWhole, class T, class Sums>
__device__ __forceinline__ void couple_backward(const StepBackwardArgs& a, const Images& images,
                                                const Tile& tile, Rows<float> dv, int out,
                                                const SeenRows& seen, Sums& sums,
                                                const BackwardBlock& block) {
  // The mix has read dy; without a mix nobody used the room of dv.
  T* net = reinterpret_cast<T*>(block.at(a.mix ? block.room.dy : block.room.dv));
  if (a.kind == CouplingKind::additive)
    move_backward<CouplingKind::additive>(a, tile, dv, net, block);
  if (a.kind == CouplingKind::sigmoid2)
    move_backward<CouplingKind::sigmoid2>(a, tile, dv, net, block);
  if (a.kind == CouplingKind::bounded)
    move_backward<CouplingKind::bounded>(a, tile, dv, net, block);
  if constexpr (!kWhole) {
    if (a.kind == CouplingKind::tanh) move_backward<CouplingKind::tanh>(a, tile, dv, net, block);
    if (a.kind == CouplingKind::exponential)
      move_backward<CouplingKind::exponential>(a, tile, dv, net, block);
  }
  __syncthreads();
  const int b = block.channels - block.passed;
  const float* raw = block.at(block.room.raw);
  NetworkGradient d = {{dv.data + block.passed, dv.stride}, {raw, b}, b, out, block.taps};
  if (!kWhole && a.kind == CouplingKind::tanh) d.shift = {raw + b, 2 * b}, d.draw.stride = 2 * b;
  sums.add_network(d, seen, tile.count);
  const int stride = kWhole ? taps_stride(9, out) : a.dtaps_stride;
  const Matrix<T> to = {static_cast<T*>(a.dtaps) + tile.row * stride, stride, block.taps, out,
                        false};
  write_rows<-1, false>(to, seen, block.deal, net, images.width,
                        block.aligned && stride % kRowChunk<T> == 0);
}

template <bool kWhole, class T, class Sums>
__device__ __forceinline__ void backward_piece(const StepBackwardArgs& a, const Images& images,
                                               const Tile& tile, Sums& sums,
                                               const BackwardBlock& block) {
  const int n = block.channels, b = n - block.passed;
  start_inputs<kWhole>(a, tile, block);
  if (a.dcolumns.data) gather_columns(a, images, tile, block);
  const SeenRows seen = a.taps ? find_rows<-1>(images, tile, block.seen()) : SeenRows{};
  wait_for_copies();
  const Rows<float> dv = block.state(a.mix ? block.room.dv : block.room.dy);
  if (a.mix) {
    const Rows<float> dy = block.state(block.room.dy), v = block.state(block.room.coupled);
    if (a.dmix)
      sums.add_mix({dy.data, dy.stride}, {v.data, v.stride}, block.at(block.room.bias), n,
                   tile.count);
    mix_backward<kWhole>(a, tile.count, block);
    __syncthreads();
  }
  if (a.taps && a.kind == CouplingKind::additive)
    couple_backward<kWhole, T>(a, images, tile, dv, b, seen, sums, block);
  else if (a.taps)
    couple_backward<kWhole, T>(a, images, tile, dv, 2 * b, seen, sums, block);
  with_width(n, block.aligned, [&]<int kWidth>() {
    copy_out<kWidth>(a.dx + tile.row * n, {dv.data, dv.stride}, n, tile.count);
  });
}

/// One block, one part: its tiles one after another, each once over its memory.
template <int kChannels, class T>
__global__ void __launch_bounds__(kPartThreads, kChannels == 48  ? 3  // by shared memory
                                                : kChannels != 0 ? 4
                                                                 : 2)
    step_backward_kernel(const StepBackwardArgs a, const Images images, const RowDeal deal,
                         const PartTiles tiles, const std::int64_t part_size, const bool aligned) {
  constexpr bool kWhole = kChannels != 0;
  const int n = kWhole ? kChannels : a.channels;
  RHEO_DYNAMIC_SHARED(float, edges);
  float* const memory = edges + (a.dtap_edge ? PartSums<kChannels>::kEdges : 0);
  RHEO_SHARED(double, gains, [kPartThreads / 32]);
  if (thread() < kPartThreads / 32) gains[thread()] = 0;
  const int passed = kWhole ? n / 2 : a.passed, columns = kWhole ? n / 2 : a.dcolumns.channels;
  const BackwardBlock block = {kWhole ? BackwardRoom::of_halves(a, kChannels) : BackwardRoom::of(a),
                               memory,
                               gains,
                               deal,
                               n,
                               passed,
                               kWhole ? 9 : a.taps,
                               kWhole ? 9 : a.dcolumns.taps,
                               columns,
                               kWhole || aligned};
  // Asked again where it is wanted: kept over the loop it would cost registers.
  const auto part = [&] {
    const int out = coupling_outputs(a.kind, n - passed);
    return part_at(a, n, out, static_cast<int>(blockIdx.x), part_size);
  };
  PartSums<kChannels> sums(part(), part_size, edges);
  if (a.mix)
    with_width(n, block.aligned, [&]<int kWidth>() {
      start_copy<kWidth>({block.at(block.room.bias), 0}, {a.bias, 0}, n, round_up(n, 4), 1);
      if (kWhole)
        start_copy<kWidth>({block.at(block.room.mix), block.room.mix_stride}, {a.mix, n}, n, n, n);
    });
  const unsigned end = tiles.first(blockIdx.x + 1);
  for (unsigned i = tiles.first(blockIdx.x); i < end; ++i) {
    const Tile tile = tile_at(images, i);
    for (int at = 0; at < (kWhole ? 1 : tile.count); at += block.room.pixels) {
      backward_piece<kWhole, T>(a, images, piece_of(tile, at, block.room.pixels), sums, block);
      __syncthreads();  // the pixels are written
    }
  }
  sums.finish(a, coupling_outputs(a.kind, n - passed), memory);
  if (a.taps == 0 || a.kind != CouplingKind::tanh || thread() != 0) return;
  double dgain = 0;
  for (double gain : gains) dgain += gain;
  *part().gain = static_cast<float>(dgain);
}

template <int kChannels, class T>
void launch_backward(const StepBackwardArgs& a, bool aligned, Stream stream) {
  const Images images(a.grid);
  using Sums = PartSums<kChannels>;
  const int floats =
      std::max(Sums::floats(),
               (kChannels ? BackwardRoom::of_halves(a, kChannels) : BackwardRoom::of(a)).floats);
  const int chunk = aligned && a.dtaps_stride % kRowChunk<T> == 0 ? kRowChunk<T> : 1;
  launch(step_backward_kernel<kChannels, T>, dim3(step_backward_parts(a.grid)), dim3(kPartThreads),
         sizeof(float) * (floats + (a.dtap_edge ? Sums::kEdges : 0)), stream, a, images,
         RowDeal(a.dtaps_stride, chunk, kPartThreads), PartTiles(a.grid), part_size_of(a), aligned);
}

template <class T>
void backward(const StepBackwardArgs& a, Stream stream) {
  const bool aligned =
      all_aligned({a.dy, a.dcolumns.data, a.mix, a.bias, a.coupled, a.raw, a.dtaps, a.dx});
  const bool kind = a.kind != CouplingKind::tanh && a.kind != CouplingKind::exponential;
  const bool of_glow =
      aligned &&
      (a.taps == 0 || (a.taps == 9 && kind && a.passed * 2 == a.channels &&
                       a.dtaps_stride == taps_stride(9, coupling_outputs(a.kind, a.passed)))) &&
      (a.dcolumns.data == nullptr ||
       (a.dcolumns.taps == 9 && a.dcolumns.channels * 2 == a.channels));
  if (of_glow && a.channels == 12) return launch_backward<12, T>(a, aligned, stream);
  if (of_glow && a.channels == 24) return launch_backward<24, T>(a, aligned, stream);
  if (of_glow && a.channels == 48) return launch_backward<48, T>(a, aligned, stream);
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
