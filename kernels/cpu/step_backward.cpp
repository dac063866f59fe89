#include <algorithm>

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/step_tile.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

std::int64_t part_size(const StepBackwardArgs& a) {
  return step_backward_part_size(a.kind, a.channels, a.channels - a.passed, a.taps,
                                 a.dmix != nullptr);
}

/// The sums of one part (see step_backward_part_size).
struct PartSums {
  float* mix;   // [C, C], where dmix is wanted
  float* sum;   // [C], likewise
  float* bias;  // [outputs]
  float* edge;  // [taps, outputs]
  float* gain;  // [1] of `tanh`

  PartSums(const StepBackwardArgs& a, std::int64_t part) {
    const std::int64_t n = a.channels, out = coupling_outputs(a.kind, a.channels - a.passed);
    mix = a.workspace + part * part_size(a);
    sum = mix + (a.dmix ? n * n : 0), bias = sum + (a.dmix ? n : 0);
    edge = bias + out, gain = edge + a.taps * out;
  }
};

/// G += dy (v + bias)^T, a row of G at a time: it stays in registers over the tile.
template <int kChannels>
void add_outer(int channels, int count, const float* dy, const float* input, float* mix) {
  const int n = kChannels ? kChannels : channels;
  for (int i = 0; i < n; ++i) {
    float local[kChannels ? kChannels : 1];
    float* row = kChannels ? local : mix + i * n;
    if (kChannels)
      for (int j = 0; j < n; ++j) row[j] = mix[i * n + j];
    for (int p = 0; p < count; ++p) {
      const float d = dy[p * n + i];
      for (int j = 0; j < n; ++j) row[j] += d * input[p * n + j];
    }
    if (kChannels)
      for (int j = 0; j < n; ++j) mix[i * n + j] = row[j];
  }
}

/// dv = M^T dy.
template <int kChannels>
void mix_back(int channels, int count, const float* mix, const float* dy, float* dv) {
  const int n = kChannels ? kChannels : channels;
  for (int p = 0; p < count; ++p) {
    float local[kChannels ? kChannels : 1];
    float* d = kChannels ? local : dv + p * n;
    for (int j = 0; j < n; ++j) d[j] = 0;
    for (int i = 0; i < n; ++i) {
      const float g = dy[p * n + i];
      for (int j = 0; j < n; ++j) d[j] += mix[i * n + j] * g;
    }
    if (kChannels)
      for (int j = 0; j < n; ++j) dv[p * n + j] = d[j];
  }
}

void mix_backward(const StepBackwardArgs& a, const Tile& tile, const PartSums& sums, float* dy,
                  float* input, float* dv) {
  const int n = a.channels;
  const float* v = a.dmix ? a.coupled + tile.row(a.grid) * n : nullptr;
  for (int p = 0; p < (a.dmix ? tile.count : 0); ++p)
    for (int c = 0; c < n; ++c) {
      input[p * n + c] = v[p * n + c] + a.bias[c];
      sums.sum[c] += dy[p * n + c];
    }
  with_channels(n, [&]<int kChannels>() {
    if (a.dmix) add_outer<kChannels>(n, tile.count, dy, input, sums.mix);
    mix_back<kChannels>(n, tile.count, a.mix, dy, dv);
  });
}

/// A tile's moved values and their gradients: all [kTilePixels, b] and flat, so that the coupling
/// is one long loop.
struct FlatValues {
  const float* raw;
  float* scaled;
  float* dy;  // becomes dL/dx
  float* draw;
  float* dlog_det;               // where pixels differ in it
  float *dshift, *dgain, *raws;  // of `tanh`

  FlatValues(float* at, int b) {
    const std::size_t size = std::size_t{kTilePixels} * b;
    scaled = at, dy = scaled + size, draw = dy + size, dlog_det = draw + size;
    dshift = dlog_det + size, dgain = dshift + size, raws = dgain + size;
    raw = raws;
  }
  static std::size_t floats(const StepBackwardArgs& a) {
    const std::size_t size = std::size_t{kTilePixels} * (a.channels - a.passed);
    return size * (a.kind == CouplingKind::tanh ? 7 : 4);
  }
};

/// `kVectors`: each pixel is an image, with a log-det of its own.
template <CouplingKind kKind, bool kVectors>
void move_backward(int count, float gain, float dlog_det, const FlatValues& v) {
  // Said to be apart: more pointers than g++ would compare with one another.
#pragma omp simd
  for (int i = 0; i < count; ++i) {
    const math::CouplingGradient d = math::coupling_backward<kKind>(
        v.raw[i], gain, v.scaled[i], v.dy[i], kVectors ? v.dlog_det[i] : dlog_det);
    v.draw[i] = d.draw;
    v.dy[i] = d.dx;
    if (kKind == CouplingKind::tanh) v.dshift[i] = d.dshift, v.dgain[i] = d.dgain;
  }
}

/// What forward or inverse kept, and the gradients of the tile's moved values.
void load_flat(const StepBackwardArgs& a, const Tile& tile, const float* dv, FlatValues& v) {
  const int n = a.channels, b = n - a.passed, kept = coupling_kept(a.kind, b);
  const float* raw = a.raw + tile.row(a.grid) * kept;
  const float* scaled = kept == b ? a.coupled + tile.row(a.grid) * n + a.passed : raw + b;
  const int stride = kept == b ? n : kept;
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < b; ++c) {
      v.scaled[p * b + c] = scaled[p * stride + c];
      v.dy[p * b + c] = dv[p * n + a.passed + c];
    }
  if (kept == b)
    v.raw = raw;
  else
    for (int p = 0; p < tile.count; ++p)
      for (int c = 0; c < b; ++c) v.raws[p * b + c] = raw[p * kept + c];
}

/// Through the coupling: dv [., C] becomes the gradient of its input, net that of the network.
void couple_backward(const StepBackwardArgs& a, const Tile& tile, bool vectors,
                     const PartSums& sums, FlatValues v, float* dv, float* net) {
  const int n = a.channels, b = n - a.passed, out = coupling_outputs(a.kind, b);
  if (a.kind == CouplingKind::additive) {
    for (int p = 0; p < tile.count; ++p)
      for (int c = 0; c < b; ++c) net[p * out + c] = dv[p * n + a.passed + c];
    return;
  }
  load_flat(a, tile, dv, v);
  for (int p = 0; p < (vectors ? tile.count : 0); ++p)
    for (int c = 0; c < b; ++c) v.dlog_det[p * b + c] = a.dlog_det[tile.image + p];
  const float* dshift = v.dy;
  with_kind(a.kind, [&]<CouplingKind kKind>() {
    if (kKind == CouplingKind::tanh) dshift = v.dshift;
    const float gain = kKind == CouplingKind::tanh ? *a.gain : 0.f;
    if (vectors)
      move_backward<kKind, true>(tile.count * b, gain, 0, v);
    else
      move_backward<kKind, false>(tile.count * b, gain, a.dlog_det[tile.image], v);
    if (kKind == CouplingKind::tanh) *sums.gain += sum_of(v.dgain, tile.count * b);
  });
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < b; ++c) {
      dv[p * n + a.passed + c] = v.dy[p * b + c];
      net[p * out + c] = dshift[p * b + c];
      net[p * out + b + c] = v.draw[p * b + c];
    }
}

void add_network_sums(const StepBackwardArgs& a, const Tile& tile, const PartSums& sums, int out,
                      const float* net) {
  for (int p = 0; p < tile.count; ++p)
    for (int o = 0; o < out; ++o) sums.bias[o] += net[p * out + o];
  if (a.dtap_edge == nullptr) return;
  const Window window(a.grid, a.taps, +1);
  for_each_pixel(a.grid, tile, [&](int p, int i, int j) {
    const unsigned inside = window.inside(i, j);
    for (int t = 0; t < a.taps; ++t)
      if (!(inside >> t & 1u))
        for (int o = 0; o < out; ++o) sums.edge[t * out + o] += net[p * out + o];
  });
}

/// Floats that backward_tile needs: dy, dv and the mix's input, and of a coupling its own.
std::size_t tile_floats(const StepBackwardArgs& a) {
  const int b = a.channels - a.passed, full = kTilePixels * a.channels;
  const std::size_t net = std::size_t{kTilePixels} * coupling_outputs(a.kind, b);
  return std::size_t{3} * full + (a.taps ? net + FlatValues::floats(a) : 0);
}

template <class T>
void write_taps(const StepBackwardArgs& a, const Tile& tile, const float* net, int out, T* dtaps) {
  scatter(a.grid, tile, net, out, dtaps, a.dtaps_stride, a.taps, out, -1);
  const int used = a.taps * out;
  T* own = dtaps + tile.row(a.grid) * a.dtaps_stride;
  for (int p = 0; p < tile.count && used < a.dtaps_stride; ++p)
    std::fill(own + p * a.dtaps_stride + used, own + (p + 1) * a.dtaps_stride, T(0));
}

void backward_tile(const StepBackwardArgs& a, const Tile& tile, bool vectors, const PartSums& sums,
                   float* scratch) {
  const int n = a.channels, b = n - a.passed, out = coupling_outputs(a.kind, b);
  float *dy = scratch, *dv = dy + kTilePixels * n, *input = dv + kTilePixels * n;
  float *net = input + kTilePixels * n, *flat = net + kTilePixels * out;
  const std::int64_t first = tile.row(a.grid) * n;
  std::memcpy(dy, a.dy + first, sizeof(float) * tile.count * n);
  if (a.dcolumns.data)
    gather(a.grid, tile, static_cast<const float*>(a.dcolumns.data), a.dcolumns.stride,
           a.dcolumns.taps, a.dcolumns.channels, -1, nullptr, dy, n);
  if (a.mix)
    mix_backward(a, tile, sums, dy, input, dv);
  else
    dv = dy;
  if (a.taps) {
    couple_backward(a, tile, vectors, sums, FlatValues(flat, b), dv, net);
    add_network_sums(a, tile, sums, out, net);
    if (a.dtaps_type == Dtype::f32)
      write_taps(a, tile, net, out, static_cast<float*>(a.dtaps));
    else
      write_taps(a, tile, net, out, static_cast<std::uint16_t*>(a.dtaps));
  }
  std::memcpy(a.dx + first, dv, sizeof(float) * tile.count * n);
}

/// to[i] += all parts' value i, in their order.
void add_parts(const float* parts, std::int64_t stride, int count, std::int64_t size, float* to) {
  parallel_for((size + 255) / 256, size * count * kPerValue, [&](std::int64_t block) {
    const std::int64_t last = block * 256 + 256 < size ? block * 256 + 256 : size;
    for (std::int64_t i = block * 256; i < last; ++i) {
      double sum = 0;
      for (int part = 0; part < count; ++part) sum += static_cast<double>(parts[part * stride + i]);
      to[i] += static_cast<float>(sum);
    }
  });
}

void add_all_parts(const StepBackwardArgs& a, int parts) {
  const PartSums first(a, 0);
  const std::int64_t n = a.channels, stride = part_size(a);
  const int out = coupling_outputs(a.kind, a.channels - a.passed);
  if (a.dmix) {
    add_parts(first.mix, stride, parts, n * n, a.dmix);
    add_parts(first.sum, stride, parts, n, a.dsum);
  }
  if (a.taps == 0) return;
  add_parts(first.bias, stride, parts, out, a.dtap_bias);
  if (a.dtap_edge) add_parts(first.edge, stride, parts, std::int64_t{a.taps} * out, a.dtap_edge);
  if (a.kind == CouplingKind::tanh) add_parts(first.gain, stride, parts, 1, a.dgain);
}

}  // namespace

void step_backward(const StepBackwardArgs& a, Stream) {
  const StepTiles tiles(a.grid);
  const int parts = step_backward_parts(a.grid);
  const ThreadScratch scratch(tile_floats(a));
  parallel_for(parts, a.grid.pixels() * a.channels * kPerFlowValue, [&](std::int64_t part) {
    const PartSums sums(a, part);
    std::memset(sums.mix, 0, sizeof(float) * part_size(a));
    const std::int64_t end = tiles.count * (part + 1) / parts;
    for (std::int64_t i = tiles.count * part / parts; i < end; i += tiles.together)
      backward_tile(a, tiles.at(i, end), tiles.vectors, sums, scratch.mine());
  });
  add_all_parts(a, parts);
}

}  // namespace rheo::cpu::RHEO_ISA
