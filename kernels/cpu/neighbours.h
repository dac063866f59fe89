#pragma once

// Taps of a 3x3 window: gathering what neighbours hold for a pixel, and handing a pixel's values to
// its neighbours. `sign` +1 looks along the taps of a convolution, -1 along those of its transpose.

#include <cstdint>
#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/view.h"

namespace rheo::cpu::RHEO_ISA {

/// The pixel that tap t of pixel (i, j) falls on.
struct Neighbour {
  bool inside;
  std::int64_t offset;  // in pixels, from the pixel itself
};

inline Neighbour neighbour(const Grid& grid, int taps, int t, int sign, int i, int j) {
  if (taps == 1) return {true, 0};
  const int di = sign * (t / 3 - 1), dj = sign * (t % 3 - 1);
  const bool inside = i + di >= 0 && i + di < grid.height && j + dj >= 0 && j + dj < grid.width;
  return {inside, std::int64_t{di} * grid.width + dj};
}

/// f(p, i, j) for each pixel p of a tile, at row i and column j of its image.
template <class F>
void for_each_pixel(const Grid& grid, const Tile& tile, const F& f) {
  int i = static_cast<int>(tile.first / grid.width), j = static_cast<int>(tile.first % grid.width);
  for (int p = 0; p < tile.count; ++p) {
    f(p, i, j);
    if (++j == grid.width) j = 0, ++i;
  }
}

/// sums[p * sum_stride + c] += what the taps of pixel p hold for it; `edge` [taps, channels], where
/// there is one, counts for taps outside the image.
template <int kChannels>
void gather_taps(const Grid& grid, const Tile& tile, const float* rows, int stride, int taps,
                 int channels, int sign, const float* edge, float* sums, int sum_stride) {
  const int n = kChannels ? kChannels : channels;
  const float* own = rows + tile.row(grid) * stride;
  for_each_pixel(grid, tile, [&](int p, int i, int j) {
    float* sum = sums + p * sum_stride;
    for (int t = 0; t < taps; ++t) {
      const Neighbour at = neighbour(grid, taps, t, sign, i, j);
      const float* from =
          at.inside ? own + (p + at.offset) * stride + t * n : (edge ? edge + t * n : nullptr);
      if (from == nullptr) continue;
      for (int c = 0; c < n; ++c) sum[c] += from[c];
    }
  });
}

inline void gather(const Grid& grid, const Tile& tile, const float* rows, int stride, int taps,
                   int channels, int sign, const float* edge, float* sums, int sum_stride) {
  with_channels(channels, [&]<int kChannels>() {
    gather_taps<kChannels>(grid, tile, rows, stride, taps, channels, sign, edge, sums, sum_stride);
  });
}

/// Round to nearest even, NaN stays NaN.
inline std::uint16_t to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<std::uint16_t>(x != x ? (bits >> 16) | 0x40u : rounded);
}

inline float from_bf16(std::uint16_t x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float& to, float x) {
  to = x;
}
inline void store(std::uint16_t& to, float x) {
  to = to_bf16(x);
}

/// Row q of `rows`, column t * channels + c := value c of the pixel that q sees as tap t, or zero
/// where that lies outside. Each pixel of the tile writes its own values into its neighbours' rows
/// and the zeros of its own, so that every place has one writer.
template <int kChannels, class T>
void scatter_taps(const Grid& grid, const Tile& tile, const float* values, int value_stride,
                  T* rows, int stride, int taps, int channels, int sign) {
  const int n = kChannels ? kChannels : channels;
  T* own = rows + tile.row(grid) * stride;
  for_each_pixel(grid, tile, [&](int p, int i, int j) {
    const float* value = values + p * value_stride;
    for (int t = 0; t < taps; ++t) {
      const Neighbour to = neighbour(grid, taps, t, -sign, i, j);
      if (to.inside) {
        T* at = own + (p + to.offset) * stride + t * n;
        for (int c = 0; c < n; ++c) store(at[c], value[c]);
      }
      if (!neighbour(grid, taps, t, sign, i, j).inside) {
        T* at = own + std::int64_t{p} * stride + t * n;
        for (int c = 0; c < n; ++c) at[c] = T(0);
      }
    }
  });
}

template <class T>
void scatter(const Grid& grid, const Tile& tile, const float* values, int value_stride, T* rows,
             int stride, int taps, int channels, int sign) {
  with_channels(channels, [&]<int kChannels>() {
    scatter_taps<kChannels>(grid, tile, values, value_stride, rows, stride, taps, channels, sign);
  });
}

}  // namespace rheo::cpu::RHEO_ISA
