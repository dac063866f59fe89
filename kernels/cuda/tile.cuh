#pragma once

// A block's tile of pixels: how it comes from device memory, what its neighbours hold for it, and
// what it holds for theirs.

#include <cuda_pipeline_primitives.h>

#include <cstdint>
#include <initializer_list>

#include "kernels/cuda/divisor.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/hd.h"
#include "kernels/view.h"

namespace rheo::cuda {

__device__ __forceinline__ int thread() {
  return static_cast<int>(threadIdx.x);
}

/// Of the block.
__device__ __forceinline__ int threads() {
  return static_cast<int>(blockDim.x);
}

/// Images, as a kernel is told of them.
struct Images {
  int height, width;
  int pixels, tiles;  // of one image
  Divisor by_width, by_tiles;

  explicit Images(const Grid& grid)
      : height(grid.height),
        width(grid.width),
        pixels(static_cast<int>(grid.image_pixels())),
        tiles(tiles_of(grid)),
        by_width(width),
        by_tiles(tiles) {}
};

/// Consecutive pixels of one image.
struct Tile {
  std::int64_t image;
  int index;  // of the tile in its image
  int first;  // pixel in the image
  int count;
  std::int64_t row;  // of the first pixel in the batch
};

__device__ __forceinline__ Tile tile_at(const Images& images, unsigned i) {
  const unsigned image = images.by_tiles.quotient(i), index = i - image * images.tiles;
  const int first = static_cast<int>(index) * kTilePixels;
  return {image, static_cast<int>(index), first, min(images.pixels - first, kTilePixels),
          std::int64_t{image} * images.pixels + first};
}

/// The tile's pixels from `at` on, at most `count`.
__device__ __forceinline__ Tile piece_of(const Tile& tile, int at, int count) {
  return {tile.image, tile.index, tile.first + at, min(tile.count - at, count), tile.row + at};
}

/// Pixels of a tile that a block takes at a time: the wider, the fewer, so that its shared memory
/// is no more than that of the narrow ones.
RHEO_HD int tile_pixels(int channels) {
  constexpr int kValues = 4096;
  int pixels = kTilePixels;
  while (pixels > 1 && pixels * channels > kValues) pixels /= 2;
  return pixels;
}

/// Whether vectors of 16 bytes may be used throughout.
inline bool all_aligned(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers)
    if (!aligned(static_cast<const float*>(pointer), 4)) return false;
  return true;
}

RHEO_HD int round_up(int n, int multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Floats from one row of shared memory to the next, an odd number of 16 bytes: the same columns of
/// eight rows are in different banks.
RHEO_HD int shared_stride(int columns) {
  return (columns + 3) / 8 * 8 + 4;
}

/// Calls f.operator()<width>() with the widest access that rows of `columns` floats allow.
template <class F>
__device__ __forceinline__ void with_width(int columns, bool aligned, F f) {
  if (aligned && columns % 4 == 0)
    f.template operator()<4>();
  else if (aligned && columns % 2 == 0)
    f.template operator()<2>();
  else
    f.template operator()<1>();
}

/// Rows in device memory or in shared memory.
template <class T>
struct Rows {
  T* data;
  int stride;
};

/// Starts to copy rows of `columns`, and makes zeros of what follows in them up to `padded`.
template <int kWidth>
__device__ __forceinline__ void start_copy(Rows<float> to, Rows<const float> from, int columns,
                                           int padded, int rows) {
  const int across = padded / kWidth;
#pragma unroll 1
  for (int k = thread(); k < rows * across; k += threads()) {
    const int row = k / across, column = (k - row * across) * kWidth;
    float* at = to.data + row * to.stride + column;
    if (column < columns)
      __pipeline_memcpy_async(at, from.data + std::int64_t{row} * from.stride + column,
                              kWidth * sizeof(float));
    else
      store(at, Vector<float, kWidth>{});
  }
}

/// What start_copy started has arrived, and the block has met.
__device__ __forceinline__ void wait_for_copies() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
}

template <int kWidth>
__device__ __forceinline__ void copy_out(float* to, Rows<const float> from, int columns, int rows) {
  const int across = columns / kWidth;
#pragma unroll 1
  for (int k = thread(); k < rows * across; k += threads()) {
    const int row = k / across, column = (k - row * across) * kWidth;
    store(to + std::int64_t{k} * kWidth, load<kWidth>(from.data + row * from.stride + column));
  }
}

/// In pixels, of tap t of a 3x3 window. `kSign` +1 looks along the taps of a convolution, -1 along
/// those of its transpose.
template <int kSign>
__device__ __forceinline__ int offset_of(int tap, int width) {
  return kSign * ((tap / 3 - 1) * width + tap % 3 - 1);
}

constexpr unsigned kAllTaps = 0777;  // an octal digit is a row of taps

/// Bit t is set where tap t of a pixel lies inside the image.
template <int kSign>
__device__ __forceinline__ unsigned taps_inside(const Images& images, int pixel) {
  const int i = static_cast<int>(images.by_width.quotient(static_cast<unsigned>(pixel)));
  const int j = pixel - i * images.width;
  unsigned bits = kAllTaps;
  if (i == 0) bits &= kSign > 0 ? 0770u : 0077u;
  if (i == images.height - 1) bits &= kSign > 0 ? 0077u : 0770u;
  if (j == 0) bits &= kSign > 0 ? 0666u : 0333u;
  if (j == images.width - 1) bits &= kSign > 0 ? 0333u : 0666u;
  return bits;
}

/// Rows of neighbours: value c that pixel p holds for tap t is at row p, t * channels + c.
struct Neighbours {
  const float* data;  // from the tile's first pixel on
  int stride;
  int taps, channels;
  const float* edge;  // [taps * channels] where a tap falls outside the image; null: zero
};

/// start(p, c) + what the taps of pixel p hold for it, `kWidth` values from c on. All loads are
/// under way before the first is waited for.
template <int kSign, int kWidth, class Start>
__device__ __forceinline__ Vector<float, kWidth> add_taps(const Neighbours& from,
                                                          const Images& images, int first, int p,
                                                          int c, Start start) {
  const float* own = from.data + (p * from.stride + c);
  Vector<float, kWidth> held[9] = {};
  if (from.taps == 1) {
    held[0] = load<kWidth>(own);
  } else {
    const unsigned inside = taps_inside<kSign>(images, first + p);
#pragma unroll
    for (int line = 0; line < 3; ++line) {
      const float* at = own + std::int64_t{kSign * (line - 1) * images.width} * from.stride;
#pragma unroll
      for (int t = 3 * line; t < 3 * line + 3; ++t)
        if (inside >> t & 1u)
          held[t] = load<kWidth>(at + kSign * (t % 3 - 1) * from.stride + t * from.channels);
    }
    if (from.edge && inside != kAllTaps)
#pragma unroll
      for (int t = 0; t < 9; ++t)
        if (!(inside >> t & 1u)) held[t] = load<kWidth>(from.edge + t * from.channels + c);
  }
  Vector<float, kWidth> sum = start(p, c);
#pragma unroll
  for (int t = 0; t < 9; ++t)
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum.at[i] += held[t].at[i];
  return sum;
}

/// f(p, c, sum) for each `kWidth` values of each pixel: start(p, c) and what its taps hold for it.
template <int kSign, int kWidth, class Start, class F>
__device__ __forceinline__ void gather(const Neighbours& from, const Images& images,
                                       const Tile& tile, Start start, F f) {
  const int across = from.channels / kWidth;
#pragma unroll 1
  for (int k = thread(); k < tile.count * across; k += threads()) {
    const int p = k / across, c = (k - p * across) * kWidth;
    f(p, c, add_taps<kSign, kWidth>(from, images, tile.first, p, c, start));
  }
}

}  // namespace rheo::cuda
