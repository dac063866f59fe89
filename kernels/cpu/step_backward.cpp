#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// The sums of one part (see step_backward_part_size), and one tile's values.
struct PartSums {
  float* mix;   // [C, C]
  float* sum;   // [C]
  float* bias;  // [outputs]
  float* edge;  // [taps, outputs]

  PartSums(const StepBackwardArgs& a, std::int64_t part) {
    mix = a.workspace + part * step_backward_part_size(a.channels, a.taps);
    sum = mix + std::int64_t{a.channels} * a.channels;
    bias = sum + a.channels;
    edge = bias + a.channels;
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
  const float* v = a.coupled + tile.row(a.grid) * n;
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < n; ++c) {
      input[p * n + c] = v[p * n + c] + a.bias[c];
      sums.sum[c] += dy[p * n + c];
    }
  with_channels(n, [&]<int kChannels>() {
    add_outer<kChannels>(n, tile.count, dy, input, sums.mix);
    mix_back<kChannels>(n, tile.count, a.mix, dy, dv);
  });
}

/// One long loop: `dy` becomes dL/dx of the moved half, draw and dshift what goes to the network.
template <CouplingKind kKind>
void move_backward(int count, const float* raw, const float* y, float dlog_det, float* dy,
                   float* draw) {
  for (int i = 0; i < count; ++i) {
    const math::CouplingScale s = math::coupling_scale<kKind>(raw[i]);
    draw[i] = math::coupling_draw(y[i], dy[i], dlog_det, s.slope);
    dy[i] *= s.value;
  }
}

/// Through the coupling: dv [., C] becomes the gradient of its input, net that of the network.
void couple_backward(const StepBackwardArgs& a, const Tile& tile, float* flat, float* dv,
                     float* net) {
  const int n = a.channels, half = n / 2, out = coupling_outputs(a.kind, n);
  const int count = tile.count * half;
  float *y = flat, *dy = flat + kTilePixels * half, *draw = dy + kTilePixels * half;
  const float* v = a.coupled + tile.row(a.grid) * n;
  const float* raw = a.raw ? a.raw + tile.row(a.grid) * half : nullptr;
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < half; ++c) {
      y[p * half + c] = v[p * n + half + c];
      dy[p * half + c] = dv[p * n + half + c];
    }
  const float dlog_det = a.dlog_det[tile.image];
  if (a.kind == CouplingKind::sigmoid2)
    move_backward<CouplingKind::sigmoid2>(count, raw, y, dlog_det, dy, draw);
  if (a.kind == CouplingKind::bounded)
    move_backward<CouplingKind::bounded>(count, raw, y, dlog_det, dy, draw);
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < half; ++c) {
      dv[p * n + half + c] = net[p * out + c] = dy[p * half + c];
      if (out != half) net[p * out + half + c] = draw[p * half + c];
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

void backward_tile(const StepBackwardArgs& a, const Tile& tile, const PartSums& sums,
                   float* scratch) {
  const int n = a.channels, out = coupling_outputs(a.kind, n);
  float *dy = scratch, *dv = dy + kTilePixels * n, *input = dv + kTilePixels * n;
  float *net = input + kTilePixels * n, *flat = net + kTilePixels * n;
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
    couple_backward(a, tile, flat, dv, net);
    add_network_sums(a, tile, sums, out, net);
    if (a.dtaps_type == Dtype::f32)
      scatter(a.grid, tile, net, out, static_cast<float*>(a.dtaps), a.taps * out, a.taps, out, -1);
    else
      scatter(a.grid, tile, net, out, static_cast<std::uint16_t*>(a.dtaps), a.taps * out, a.taps,
              out, -1);
  }
  std::memcpy(a.dx + first, dv, sizeof(float) * tile.count * n);
}

/// to[i] += all parts' value i, in their order.
void add_parts(const float* parts, std::int64_t stride, int count, std::int64_t size, float* to) {
  parallel_for((size + 255) / 256, [&](std::int64_t block) {
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
  const std::int64_t n = a.channels, stride = step_backward_part_size(a.channels, a.taps);
  const int out = coupling_outputs(a.kind, a.channels);
  if (a.mix) {
    add_parts(first.mix, stride, parts, n * n, a.dmix);
    add_parts(first.sum, stride, parts, n, a.dsum);
  }
  if (a.taps) add_parts(first.bias, stride, parts, out, a.dtap_bias);
  if (a.taps && a.dtap_edge)
    add_parts(first.edge, stride, parts, std::int64_t{a.taps} * out, a.dtap_edge);
}

}  // namespace

void step_backward(const StepBackwardArgs& a, Stream) {
  const std::int64_t tiles = a.grid.count * tiles_of(a.grid);
  const std::int64_t size = step_backward_part_size(a.channels, a.taps);
  const int parts = step_backward_parts(a.grid);
  const ThreadScratch scratch(std::size_t{kTilePixels} * a.channels * 6);
  parallel_for(parts, [&](std::int64_t part) {
    const PartSums sums(a, part);
    std::memset(sums.mix, 0, sizeof(float) * size);
    for (std::int64_t i = tiles * part / parts; i < tiles * (part + 1) / parts; ++i)
      backward_tile(a, tile_at(a.grid, i), sums, scratch.mine());
  });
  add_all_parts(a, parts);
}

}  // namespace rheo::cpu::RHEO_ISA
