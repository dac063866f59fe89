#pragma once

// 2x2 pixels to channels and back (docs/model.md, "Level"; RealNVP, arXiv:1605.08803, section 3.6).
// Each direction is the other's backward.

#include <cstdint>

#include "kernels/view.h"

namespace rheo {

/// `large` is [N, 2h, 2w, channels] in rows of `stride` values a pixel (a split leaves the first
/// half of a wider state); `small` is [N, h, w, 4 channels], dense, its channel 4c + 2 dy + dx
/// being channel c of pixel (2i + dy, 2j + dx).
struct SqueezeArgs {
  Grid grid;  // of `small`
  int channels;
  int stride;
  const float* from;
  float* to;
};

}  // namespace rheo
