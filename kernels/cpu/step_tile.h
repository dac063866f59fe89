#pragma once

// What a step's passes over its tiles have in common.

#include "kernels/cpu/parallel.h"
#include "kernels/step.h"

namespace rheo::cpu::RHEO_ISA {

/// The tiles of a grid, of which images of one pixel share up to kTilePixels: vectors would else be
/// all overhead. What belongs to an image is still its own; sums over pixels go on in their order.
struct StepTiles {
  Grid grid;
  bool vectors;
  std::int64_t count;
  int together;

  explicit StepTiles(const Grid& g)
      : grid(g),
        vectors(g.image_pixels() == 1),
        count(g.count * tiles_of(g)),
        together(vectors ? kTilePixels : 1) {}

  /// Tiles `first` and on, `together` of them but none from `last` on, as one.
  Tile at(std::int64_t first, std::int64_t last) const {
    if (!vectors) return tile_at(grid, first);
    return {first, 0, 0, static_cast<int>(last - first < together ? last - first : together)};
  }
};

/// Calls f with `kind` as a constant.
template <class F>
void with_kind(CouplingKind kind, const F& f) {
  switch (kind) {
    case CouplingKind::additive:
      return f.template operator()<CouplingKind::additive>();
    case CouplingKind::sigmoid2:
      return f.template operator()<CouplingKind::sigmoid2>();
    case CouplingKind::bounded:
      return f.template operator()<CouplingKind::bounded>();
    case CouplingKind::tanh:
      return f.template operator()<CouplingKind::tanh>();
    case CouplingKind::exponential:
      return f.template operator()<CouplingKind::exponential>();
  }
}

/// Sum of a tile's values in eight fixed lanes.
inline float sum_of(const float* values, int count) {
  double lanes[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int l = 0; l < 8; ++l) lanes[l] += static_cast<double>(values[i + l]);
  for (; i < count; ++i) lanes[i % 8] += static_cast<double>(values[i]);
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return static_cast<float>(sum);
}

}  // namespace rheo::cpu::RHEO_ISA
