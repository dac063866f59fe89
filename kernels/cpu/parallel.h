#pragma once

// Loops over threads, and memory for one tile of work. This backend is compiled once for each
// instruction set, in a namespace of that name: nothing here may come from a shared template
// (std::vector, say), whose one copy could be that of a wider set than the machine has.

#include <cstdint>

#include "kernels/cpu/backend.h"
#include "kernels/view.h"

namespace rheo::cpu::RHEO_ISA {

// What a value costs where it is not multiplied in a product, in the same unit, roughly.
constexpr std::int64_t kPerValue = 32;  // read, changed, written; a term that is not in vectors
constexpr std::int64_t kPerFlowValue = 256;  // through exp or log, or drawn at random

/// f(i) for each i below count, all of it so much work. Which thread runs which i never decides a
/// result.
template <class F>
void parallel_for(std::int64_t count, std::int64_t work, const F& f) {
#pragma omp parallel for schedule(static) if (count > 1 && work >= least_shared_work)
  for (std::int64_t i = 0; i < count; ++i) f(i);
}

/// Consecutive pixels of one image.
struct Tile {
  std::int64_t image;
  int index;           // of the tile in its image
  std::int64_t first;  // pixel in the image
  int count;           // at most kTilePixels

  std::int64_t row(const Grid& grid) const { return image * grid.image_pixels() + first; }
};

inline Tile tile_at(const Grid& grid, std::int64_t i) {
  const int tiles = tiles_of(grid), index = static_cast<int>(i % tiles);
  const std::int64_t first = std::int64_t{index} * kTilePixels;
  const std::int64_t left = grid.image_pixels() - first;
  return {i / tiles, index, first, static_cast<int>(left < kTilePixels ? left : kTilePixels)};
}

/// Each tile of the flow's values, so many channels of them.
template <class F>
void for_each_tile(const Grid& grid, int channels, const F& f) {
  const std::int64_t work = grid.pixels() * channels * kPerFlowValue;
  parallel_for(grid.count * tiles_of(grid), work, [&](std::int64_t i) { f(tile_at(grid, i)); });
}

/// Calls f with `channels` as a constant where it is one of the usual, so that its loops unroll,
/// else with 0.
template <class F>
void with_channels(int channels, const F& f) {
  switch (channels) {
    case 2:
      return f.template operator()<2>();
    case 4:
      return f.template operator()<4>();
    case 6:
      return f.template operator()<6>();
    case 8:
      return f.template operator()<8>();
    case 12:
      return f.template operator()<12>();
    case 16:
      return f.template operator()<16>();
    case 24:
      return f.template operator()<24>();
    case 48:
      return f.template operator()<48>();
    case 96:
      return f.template operator()<96>();
    default:
      return f.template operator()<0>();
  }
}

}  // namespace rheo::cpu::RHEO_ISA
