#pragma once

#include <cstdint>

#include "kernels/hd.h"

namespace rheo {

/// The pixels of a batch on one level: images in a row, each row by row.
struct Grid {
  std::int64_t count;  // images, N
  int height;
  int width;

  constexpr std::int64_t image_pixels() const { return std::int64_t{height} * width; }
  constexpr std::int64_t pixels() const { return count * image_pixels(); }
};

/// Element type of what the coupling network reads and writes; all else is float32.
enum class Dtype : int { f32, bf16 };

constexpr int size_of(Dtype type) {
  return type == Dtype::f32 ? 4 : 2;
}

/// A log-det or log-prob partial covers up to so many consecutive pixels of one image, so that the
/// order of every sum is that of the image alone, not of the batch or the machine.
constexpr int kTilePixels = 64;

constexpr int tiles_of(const Grid& grid) {
  return static_cast<int>((grid.image_pixels() + kTilePixels - 1) / kTilePixels);
}

/// Where an operation leaves its partials: [count, stride] floats, its own tiles_of(grid) of each
/// row from `data` on. Written, not added to.
struct Partials {
  float* data;
  int stride;
};

/// The input of a 3x3 (taps = 9) or 1x1 (taps = 1) convolution written out as rows of a matrix: for
/// tap t and channel c, column t * channels + c holds the neighbour's value, zero outside the
/// image. Then one column of ones (it carries the bias), then with `edge` for each tap a column
/// that is 1 where the tap falls outside the image (it carries the edge bias), then zeros up to
/// `stride`.
struct Columns {
  void* data;  // [P, stride]; null: not wanted
  Dtype type;
  int taps;      // 9 or 1
  int channels;  // of the input
  int stride;    // columns_stride(taps, channels, edge)
  bool edge;

  constexpr int used() const { return taps * channels + 1 + (edge ? taps : 0); }
};

/// A multiple of 16, so that rows of either type start on a vector.
constexpr int columns_stride(int taps, int channels, bool edge) {
  return (taps * channels + 1 + (edge ? taps : 0) + 15) / 16 * 16;
}

/// Values a pixel of what a coupling's network returns for its neighbours: a multiple of 8, for a
/// GPU's fast products take rows of bfloat16 only where each starts on 16 bytes.
RHEO_HD constexpr int taps_stride(int taps, int out) {
  return (taps * out + 7) / 8 * 8;
}

}  // namespace rheo
