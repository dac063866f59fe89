#include "kernels/step.h"

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// The places of one tile's values: all [kTilePixels, ...].
struct TileValues {
  float* net;    // [., outputs] what the network returned: shift, then raw
  float* moved;  // [., C / 2]  b, flat, so that the coupling is one long loop
  float* shift;  // [., C / 2]
  float* raw;    // [., C / 2]
  float* log;    // [., C / 2]
  float* state;  // [., C]
  float* mixed;  // [., C]

  TileValues(float* at, int channels) {
    const std::size_t full = std::size_t{kTilePixels} * channels, half = full / 2;
    net = at, state = net + full, mixed = state + full;
    moved = mixed + full, shift = moved + half, raw = shift + half, log = raw + half;
  }
  static std::size_t floats(int channels) { return std::size_t{kTilePixels} * channels * 5; }
};

/// Sum of a tile's values in eight fixed lanes.
float sum_of(const float* values, int count) {
  double lanes[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int l = 0; l < 8; ++l) lanes[l] += static_cast<double>(values[i + l]);
  for (; i < count; ++i) lanes[i % 8] += static_cast<double>(values[i]);
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return static_cast<float>(sum);
}

/// Network outputs of a tile, from its taps.
void gather_outputs(const StepArgs& a, const Tile& tile, int out, float* net) {
  for (int p = 0; p < tile.count; ++p)
    for (int o = 0; o < out; ++o) net[p * out + o] = a.taps.bias ? a.taps.bias[o] : 0.f;
  gather(a.grid, tile, a.taps.data, a.taps.taps * out, a.taps.taps, out, +1, a.taps.edge, net, out);
}

/// One long loop over the tile's moved values; `log` only when forward.
template <CouplingKind kKind, bool kForward>
void move(const TileValues& v, int count) {
  for (int i = 0; i < count; ++i) {
    const math::CouplingScale s = math::coupling_scale<kKind>(v.raw[i]);
    v.moved[i] = kForward ? math::coupling_forward(v.moved[i], v.shift[i], s.value)
                          : math::coupling_inverse(v.moved[i], v.shift[i], s.value);
    if (kForward) v.log[i] = s.log;
  }
}

template <bool kForward>
void couple(const StepArgs& a, const Tile& tile, const TileValues& v) {
  const int half = a.channels / 2, out = coupling_outputs(a.kind, a.channels);
  const int count = tile.count * half;
  gather_outputs(a, tile, out, v.net);
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < half; ++c) {
      v.moved[p * half + c] = v.state[p * a.channels + half + c];
      v.shift[p * half + c] = v.net[p * out + c];
      v.raw[p * half + c] = out == half ? 0.f : v.net[p * out + half + c];
    }
  switch (a.kind) {
    case CouplingKind::additive:
      move<CouplingKind::additive, kForward>(v, count);
      break;
    case CouplingKind::sigmoid2:
      move<CouplingKind::sigmoid2, kForward>(v, count);
      break;
    case CouplingKind::bounded:
      move<CouplingKind::bounded, kForward>(v, count);
      break;
  }
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < half; ++c) v.state[p * a.channels + half + c] = v.moved[p * half + c];
  if (a.raw && out != half)
    std::memcpy(a.raw + tile.row(a.grid) * half, v.raw, sizeof(float) * count);
  if (!kForward) return;
  a.log_det.data[tile.image * a.log_det.stride + tile.index] =
      a.kind == CouplingKind::additive ? 0.f : sum_of(v.log, count);
}

/// mixed = M (state + bias) forward, M^-1 state - bias inverse: `transposed` [C, C] is indexed
/// [input][output].
template <int kChannels, bool kForward>
void mix_tile(int channels, int count, const float* transposed, const float* bias,
              const float* state, float* mixed) {
  const int n = kChannels ? kChannels : channels;
  for (int p = 0; p < count; ++p) {
    float local[kChannels ? kChannels : 1];  // in registers over the sum
    float* y = kChannels ? local : mixed + p * n;
    for (int i = 0; i < n; ++i) y[i] = 0;
    for (int j = 0; j < n; ++j) {
      const float x = kForward ? state[p * n + j] + bias[j] : state[p * n + j];
      for (int i = 0; i < n; ++i) y[i] += transposed[j * n + i] * x;
    }
    for (int i = 0; i < n; ++i) mixed[p * n + i] = kForward ? y[i] : y[i] - bias[i];
  }
}

template <class T>
void write_columns(const Grid& grid, const Tile& tile, const float* values, int value_stride,
                   const Columns& c) {
  T* rows = static_cast<T*>(c.data);
  scatter(grid, tile, values, value_stride, rows, c.stride, c.taps, c.channels, +1);
  T one, zero;
  store(one, 1.f), store(zero, 0.f);
  const int constant = c.taps * c.channels;
  const Window window(grid, c.taps, +1);
  for_each_pixel(grid, tile, [&](int p, int i, int j) {
    T* row = rows + (tile.row(grid) + p) * c.stride + constant;
    *row++ = one;
    const unsigned inside = c.edge ? window.inside(i, j) : 0;
    for (int t = 0; t < (c.edge ? c.taps : 0); ++t) *row++ = inside >> t & 1u ? zero : one;
    for (int k = c.used(); k < c.stride; ++k) *row++ = zero;
  });
}

void write_columns(const StepArgs& a, const Tile& tile, const float* values) {
  if (a.columns.data == nullptr) return;
  if (a.columns.type == Dtype::f32)
    write_columns<float>(a.grid, tile, values, a.channels, a.columns);
  else
    write_columns<std::uint16_t>(a.grid, tile, values, a.channels, a.columns);
}

/// f(p, c, i) for each value of the first half of a tile's pixels, value i of all such.
template <class F>
void for_each_half(const StepArgs& a, const Tile& tile, const F& f) {
  const int half = a.channels / 2;
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < half; ++c) f(p, c, (tile.row(a.grid) + p) * half + c);
}

void transpose(const float* from, int n, float* to) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) to[j * n + i] = from[i * n + j];
}

template <bool kForward>
void step_tile(const StepArgs& a, const Tile& tile, const float* transposed, float* scratch) {
  const int n = a.channels;
  const TileValues v(scratch, n);
  const std::int64_t first = tile.row(a.grid) * n;
  const std::size_t bytes = sizeof(float) * tile.count * n;
  if (a.again) {
    for_each_half(a, tile, [&](int p, int c, std::int64_t i) {
      v.state[p * n + c] = from_bf16(static_cast<const std::uint16_t*>(a.again)[i]);
    });
    return write_columns(a, tile, v.state);
  }
  std::memcpy(v.state, a.from + first, bytes);
  if (a.taps.data) couple<kForward>(a, tile, v);
  if (a.coupled) std::memcpy(a.coupled + first, v.state, bytes);
  const float* result = v.state;
  if (a.mix) {
    with_channels(n, [&]<int kChannels>() {
      mix_tile<kChannels, kForward>(n, tile.count, transposed, a.bias, v.state, v.mixed);
    });
    result = v.mixed;
  }
  if (a.to) std::memcpy(a.to + first, result, bytes);
  if (a.kept)
    for_each_half(a, tile, [&](int p, int c, std::int64_t i) {
      static_cast<std::uint16_t*>(a.kept)[i] = to_bf16(result[p * n + c]);
    });
  write_columns(a, tile, result);
}

template <bool kForward>
void step(const StepArgs& a) {
  const int n = a.channels;
  const ThreadScratch scratch(TileValues::floats(n));
  const Scratch matrix(a.mix ? std::size_t(n) * n : 0);
  if (a.mix) transpose(a.mix, n, matrix.data());
  const float* transposed = matrix.data();
  for_each_tile(
      a.grid, [&](const Tile& tile) { step_tile<kForward>(a, tile, transposed, scratch.mine()); });
}

}  // namespace

void step_forward(const StepArgs& a, Stream) {
  step<true>(a);
}

void step_inverse(const StepArgs& a, Stream) {
  step<false>(a);
}

}  // namespace rheo::cpu::RHEO_ISA
