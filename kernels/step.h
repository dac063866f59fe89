#pragma once

// One flow step in one pass over memory: [gather taps -> coupling, log-det] [mix] -> columns of the
// first half for the next network. Either bracket may be absent; both absent: columns only.
// Forward pairs coupling k with mix k + 1, inverse coupling k with mix k.
// Sources: Glow, arXiv:1807.03039, table 1; RealNVP, arXiv:1605.08803, eqs. 4-5; the scale
// sigmoid(raw + 2) in place of exp(raw) is the published Glow program's.

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/math.h"
#include "kernels/view.h"

namespace rheo {

enum class CouplingKind : int { additive, sigmoid2, bounded };

/// What a coupling's network returns, before the gather: row p, column t * out + o is what pixel p
/// adds to output o of the pixel that sees p as its tap t.
struct Taps {
  const float* data;  // [P, taps * out]; null: no coupling
  int taps;           // 9 or 1
  const float* bias;  // [out]; null: none
  const float* edge;  // [taps * out], added where tap t falls outside the image; null: none
};

struct StepArgs {
  Grid grid;
  int channels;       // C
  const float* from;  // [P, C]
  float* to;          // [P, C]; null: not wanted. May be `from`
  Taps taps;          // out = C (shift, then raw) when affine, C / 2 when additive
  CouplingKind kind;
  Partials log_det;   // forward only
  float* raw;         // [P, C / 2]  affine: kept for backward; null: not kept
  float* coupled;     // [P, C]      forward: the state between the brackets, kept; null: not kept
  const float* mix;   // [C, C] M forward, M^-1 inverse; null: no mix
  const float* bias;  // [C]    forward: to = M (z + bias); inverse: to = M^-1 z - bias
  Columns columns;    // of the first C / 2 channels of `to`
  void* kept;         // [P, C / 2] bf16: those channels, as bf16 columns have them; null: not kept
  const void* again;  // what `kept` was: columns are made of it, and nothing else is done; or null
};

/// Backward of [coupling][mix] -> columns, last first:
/// dy += column gradients; G += sum dy (v + bias)^T, sum += sum dy, dv = M^T dy; then through the
/// coupling, whose output is v.
struct StepBackwardArgs {
  Grid grid;
  int channels;
  const float* dy;       // [P, C] gradient of the mix's output, without the columns' part
  Columns dcolumns;      // float32; null: none
  const float* mix;      // [C, C] M; null: no mix
  const float* bias;     // [C]
  const float* coupled;  // [P, C] v: what the mix saw and the coupling returned
  float* dmix;           // [C, C] added to: G
  float* dsum;           // [C]    added to
  int taps;              // of the coupling's network: 9 or 1; 0: no coupling
  CouplingKind kind;
  const float* raw;       // [P, C / 2]
  const float* dlog_det;  // [N] dL/dlog_det of each image
  void* dtaps;            // [P, dtaps_stride] out: gradient of Taps::data
  Dtype dtaps_type;
  float* dtap_bias;  // [out]        added to
  float* dtap_edge;  // [taps * out] added to; null: none
  float* dx;         // [P, C] out: gradient of the coupling's input, without its network's part
  float* workspace;  // step_backward_workspace(...) floats
};

/// Parts that the sums over pixels are cut into: a function of the shape alone, so that the order
/// of additions is too.
constexpr int step_backward_parts(const Grid& grid) {
  const std::int64_t tiles = grid.count * tiles_of(grid);
  return static_cast<int>(tiles < 256 ? tiles : 256);
}

/// Floats of one part: G, sum dy, bias and edge.
constexpr std::int64_t step_backward_part_size(int channels, int taps) {
  return std::int64_t{channels} * channels + channels + channels + std::int64_t{taps} * channels;
}

constexpr std::int64_t step_backward_workspace(const Grid& grid, int channels, int taps) {
  return step_backward_parts(grid) * step_backward_part_size(channels, taps);
}

/// Values that a coupling's network returns a pixel.
constexpr int coupling_outputs(CouplingKind kind, int channels) {
  return kind == CouplingKind::additive ? channels / 2 : channels;
}

namespace math {

struct CouplingScale {
  float value;  // s
  float log;    // log s
  float slope;  // dlog s / draw
};

/// s = sigmoid(raw + 2); exp sees only what is <= 0, so no raw overflows.
RHEO_HD CouplingScale sigmoid2_scale(float raw) {
  const float u = raw + 2.f;
  const float e = exp_of_negative(u < 0 ? u : -u);
  const float d = 1.f / (1.f + e);
  return {(u < 0 ? e : 1.f) * d, (u < 0 ? u : 0.f) - log1p_of_unit(e), (u < 0 ? 1.f : e) * d};
}

/// s = exp((4 / pi) atan(raw)), between e^-2 and e^2.
RHEO_HD CouplingScale bounded_scale(float raw) {
  constexpr float kFourOverPi = 1.2732395447351628f;
  const float log = kFourOverPi * std::atan(raw);
  return {std::exp(log), log, kFourOverPi / (1.f + raw * raw)};
}

template <CouplingKind kKind>
RHEO_HD CouplingScale coupling_scale(float raw) {
  if constexpr (kKind == CouplingKind::sigmoid2) return sigmoid2_scale(raw);
  if constexpr (kKind == CouplingKind::bounded) return bounded_scale(raw);
  return {1.f, 0.f, 0.f};
}

RHEO_HD float coupling_forward(float x, float shift, float scale) {
  return (x + shift) * scale;
}

RHEO_HD float coupling_inverse(float y, float shift, float scale) {
  return y / scale - shift;
}

/// dL/draw: y = (x + shift) s, so both paths go through dlog s / draw.
RHEO_HD float coupling_draw(float y, float dy, float dlog_det, float slope) {
  return (dy * y + dlog_det) * slope;
}

}  // namespace math
}  // namespace rheo
