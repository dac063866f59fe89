#include "kernels/step.h"

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/step_tile.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// The places of one tile's values: all [kTilePixels, ...].
struct TileValues {
  float* state;   // [., C]
  float* mixed;   // [., C]
  float* moved;   // [., b] flat, so that the coupling is one long loop
  float* shift;   // [., b]
  float* raw;     // [., b]
  float* log;     // [., b]
  float* net;     // [., outputs] what the network returned: shift, then raw
  float* scaled;  // [., b] of `tanh`

  TileValues(const StepArgs& a, float* at) {
    const std::size_t full = std::size_t{kTilePixels} * a.channels, b = moved_of(a);
    state = at, mixed = state + full, moved = mixed + full, shift = moved + b;
    raw = shift + b, log = raw + b, net = log + b, scaled = net + coupling_outputs(a.kind, 1) * b;
  }
  static std::size_t floats(const StepArgs& a) {
    const int each = 4 + coupling_outputs(a.kind, 1) + (a.kind == CouplingKind::tanh ? 1 : 0);
    return std::size_t{kTilePixels} * a.channels * 2 + moved_of(a) * each;
  }

 private:
  static std::size_t moved_of(const StepArgs& a) {
    return a.taps.data ? std::size_t{kTilePixels} * (a.channels - a.passed) : 0;
  }
};

/// Network outputs of a tile, from its taps.
void gather_outputs(const StepArgs& a, const Tile& tile, int out, float* net) {
  for (int p = 0; p < tile.count; ++p)
    for (int o = 0; o < out; ++o) net[p * out + o] = a.taps.bias ? a.taps.bias[o] : 0.f;
  gather(a.grid, tile, a.taps.data, a.taps.stride, a.taps.taps, out, +1, a.taps.edge, net, out);
}

/// One long loop over the tile's moved values; `log` only when forward.
template <CouplingKind kKind, bool kForward>
void move(const TileValues& v, int count, float gain) {
  for (int i = 0; i < count; ++i) {
    const math::CouplingScale s = math::coupling_scale<kKind>(v.raw[i], gain);
    const math::Moved moved = kForward
                                  ? math::coupling_forward<kKind>(v.moved[i], v.shift[i], s.value)
                                  : math::coupling_inverse<kKind>(v.moved[i], v.shift[i], s.value);
    v.moved[i] = moved.value;
    if (kKind == CouplingKind::tanh) v.scaled[i] = moved.scaled;
    if (kForward) v.log[i] = s.log;
  }
}

void keep_raw(const StepArgs& a, const Tile& tile, const TileValues& v, int b) {
  const int kept = coupling_kept(a.kind, b);
  float* raw = a.raw + tile.row(a.grid) * kept;
  if (kept == b) std::memcpy(raw, v.raw, sizeof(float) * tile.count * b);
  for (int p = 0; p < (kept == 2 * b ? tile.count : 0); ++p)
    for (int c = 0; c < b; ++c) {
      raw[p * kept + c] = v.raw[p * b + c];
      raw[p * kept + b + c] = v.scaled[p * b + c];
    }
}

/// Partials of a tile, or of each image of one pixel.
void sum_logs(const StepArgs& a, const Tile& tile, const TileValues& v, int b, bool vectors) {
  const int images = vectors ? tile.count : 1, each = tile.count / images * b;
  for (int n = 0; n < images; ++n)
    a.log_det.data[(tile.image + n) * a.log_det.stride + tile.index] =
        a.kind == CouplingKind::additive ? 0.f : sum_of(v.log + n * each, each);
}

template <bool kForward>
void couple(const StepArgs& a, const Tile& tile, const TileValues& v, bool vectors) {
  const int b = a.channels - a.passed, out = coupling_outputs(a.kind, b);
  const int count = tile.count * b;
  gather_outputs(a, tile, out, v.net);
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < b; ++c) {
      v.moved[p * b + c] = v.state[p * a.channels + a.passed + c];
      v.shift[p * b + c] = v.net[p * out + c];
      v.raw[p * b + c] = out == b ? 0.f : v.net[p * out + b + c];
    }
  with_kind(a.kind, [&]<CouplingKind kKind>() {
    move<kKind, kForward>(v, count, kKind == CouplingKind::tanh ? *a.gain : 0.f);
  });
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < b; ++c) v.state[p * a.channels + a.passed + c] = v.moved[p * b + c];
  if (a.raw) keep_raw(a, tile, v, b);
  if (kForward) sum_logs(a, tile, v, b, vectors);
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

/// f(p, c, i) for each value of a tile that columns are made of, value i of all such.
template <class F>
void for_each_seen(const StepArgs& a, const Tile& tile, const F& f) {
  const int seen = a.columns.channels;
  for (int p = 0; p < tile.count; ++p)
    for (int c = 0; c < seen; ++c) f(p, c, (tile.row(a.grid) + p) * seen + c);
}

/// Zeros for what the columns may not show.
void withhold(const StepArgs& a, const Tile& tile, float* values) {
  for (int p = 0; p < tile.count; ++p)
    for (int c = a.columns.channels - a.withheld; c < a.columns.channels; ++c)
      values[p * a.channels + c] = 0;
}

void transpose(const float* from, int n, float* to) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) to[j * n + i] = from[i * n + j];
}

template <bool kForward>
void step_tile(const StepArgs& a, const Tile& tile, bool vectors, const float* transposed,
               float* scratch) {
  const int n = a.channels;
  const TileValues v(a, scratch);
  const std::int64_t first = tile.row(a.grid) * n;
  const std::size_t bytes = sizeof(float) * tile.count * n;
  if (a.again) {
    for_each_seen(a, tile, [&](int p, int c, std::int64_t i) {
      v.state[p * n + c] = from_bf16(static_cast<const std::uint16_t*>(a.again)[i]);
    });
    return write_columns(a, tile, v.state);
  }
  std::memcpy(v.state, a.from + first, bytes);
  if (a.taps.data) couple<kForward>(a, tile, v, vectors);
  if (a.coupled) std::memcpy(a.coupled + first, v.state, bytes);
  float* result = v.state;
  if (a.mix) {
    with_channels(n, [&]<int kChannels>() {
      mix_tile<kChannels, kForward>(n, tile.count, transposed, a.bias, v.state, v.mixed);
    });
    result = v.mixed;
  }
  if (a.to) std::memcpy(a.to + first, result, bytes);
  if (a.withheld) withhold(a, tile, result);
  if (a.kept)
    for_each_seen(a, tile, [&](int p, int c, std::int64_t i) {
      static_cast<std::uint16_t*>(a.kept)[i] = to_bf16(result[p * n + c]);
    });
  write_columns(a, tile, result);
}

template <bool kForward>
void step(const StepArgs& a) {
  const int n = a.channels;
  const StepTiles tiles(a.grid);
  const ThreadScratch scratch(TileValues::floats(a));
  const Scratch matrix(a.mix ? std::size_t(n) * n : 0);
  if (a.mix) transpose(a.mix, n, matrix.data());
  const float* transposed = matrix.data();
  const std::int64_t work = a.grid.pixels() * n * kPerFlowValue;
  parallel_for((tiles.count + tiles.together - 1) / tiles.together, work, [&](std::int64_t i) {
    const Tile tile = tiles.at(i * tiles.together, tiles.count);
    step_tile<kForward>(a, tile, tiles.vectors, transposed, scratch.mine());
  });
}

}  // namespace

void step_forward(const StepArgs& a, Stream) {
  step<true>(a);
}

void step_inverse(const StepArgs& a, Stream) {
  step<false>(a);
}

}  // namespace rheo::cpu::RHEO_ISA
