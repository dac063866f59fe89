#pragma once

// Taps of a 3x3 window: gathering what neighbours hold for a pixel, and handing a pixel's values to
// its neighbours. `sign` +1 looks along the taps of a convolution, -1 along those of its transpose.

#include <cstdint>
#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/view.h"

namespace rheo::cpu::RHEO_ISA {

/// Where the taps of a pixel fall.
struct Window {
  int taps;
  int height, width;
  std::int64_t offset[9];  // of tap t, in pixels from the pixel itself

  Window(const Grid& grid, int count, int sign)
      : taps(count), height(grid.height), width(grid.width), offset{} {
    for (int t = 0; t < (taps == 1 ? 0 : taps); ++t)
      offset[t] = sign * (std::int64_t{t / 3 - 1} * width + (t % 3 - 1));
    mirrored_ = sign < 0;
  }

  /// Bit t is set where tap t of pixel (i, j) lies inside the image.
  unsigned inside(int i, int j) const {
    if (taps == 1) return 1u;
    unsigned bits = kAll;
    if (i == 0) bits &= mirrored_ ? 0077u : 0770u;
    if (i == height - 1) bits &= mirrored_ ? 0770u : 0077u;
    if (j == 0) bits &= mirrored_ ? 0333u : 0666u;
    if (j == width - 1) bits &= mirrored_ ? 0666u : 0333u;
    return bits;
  }

  static constexpr unsigned kAll = 0777u;  // an octal digit is a row of taps

 private:
  bool mirrored_;
};

/// f(p, i, j) for each pixel p of a tile, at row i and column j of its image. A tile may go on in
/// the next image.
template <class F>
void for_each_pixel(const Grid& grid, const Tile& tile, const F& f) {
  int i = static_cast<int>(tile.first / grid.width), j = static_cast<int>(tile.first % grid.width);
  for (int p = 0; p < tile.count; ++p) {
    f(p, i, j);
    if (++j == grid.width) j = 0, i = i + 1 == grid.height ? 0 : i + 1;
  }
}

/// sums[p * sum_stride + c] += what the taps of pixel p hold for it; `edge` [taps, channels], where
/// there is one, counts for taps outside the image.
template <int kChannels>
void gather_taps(const Grid& grid, const Tile& tile, const float* rows, int stride, int taps,
                 int channels, int sign, const float* edge, float* sums, int sum_stride) {
  const int n = kChannels ? kChannels : channels;
  const Window window(grid, taps, sign);
  const float* own = rows + tile.row(grid) * stride;
  for_each_pixel(grid, tile, [&](int p, int i, int j) {
    float* sum = sums + p * sum_stride;
    // In registers: `sums` could be `rows` for all that g++ knows.
    float local[kChannels ? kChannels : 1];
    float* to = kChannels ? local : sum;
    if (kChannels)
      for (int c = 0; c < n; ++c) to[c] = sum[c];
    const unsigned inside = window.inside(i, j);
    for (int t = 0; t < taps; ++t) {
      const float* from = inside >> t & 1u ? own + (p + window.offset[t]) * stride + t * n
                                           : (edge ? edge + t * n : nullptr);
      if (from == nullptr) continue;
      for (int c = 0; c < n; ++c) to[c] += from[c];
    }
    if (kChannels)
      for (int c = 0; c < n; ++c) sum[c] = to[c];
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
  const Window to(grid, taps, -sign), from(grid, taps, sign);
  T* own = rows + tile.row(grid) * stride;
  for_each_pixel(grid, tile, [&](int p, int i, int j) {
    const float* value = values + p * value_stride;
    T converted[kChannels ? kChannels : 1];
    if (kChannels)
      for (int c = 0; c < n; ++c) store(converted[c], value[c]);
    const unsigned seen_by = to.inside(i, j), sees = from.inside(i, j);
    for (int t = 0; t < taps; ++t) {
      if (seen_by >> t & 1u) {
        T* at = own + (p + to.offset[t]) * stride + t * n;
        if (kChannels)
          for (int c = 0; c < n; ++c) at[c] = converted[c];
        else
          for (int c = 0; c < n; ++c) store(at[c], value[c]);
      }
      if (!(sees >> t & 1u)) {
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
