#pragma once

// One flow step in one pass over memory: [gather taps -> coupling, log-det] [mix] -> columns of the
// first channels for the next network. Either bracket may be absent; both absent: columns only.
// Forward pairs coupling k with mix k + 1, inverse coupling k with mix k.
//
// The first `passed` channels go through a coupling as they are; the other b = C - passed move. A
// network that sees the passed ones alone makes a coupling layer, a masked one that sees all C and
// moves them all (passed = 0) an autoregressive layer; a vector is an image of one pixel.
// Sources: Glow, arXiv:1807.03039, table 1; RealNVP, arXiv:1605.08803, eqs. 4-5; masked
// autoregressive flow, arXiv:1705.07057, eqs. 3-4; the scale sigmoid(raw + 2) in place of exp(raw)
// is the published Glow program's.

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/math.h"
#include "kernels/view.h"

namespace rheo {

/// How b channels move, y = (x + shift) s, but for `tanh`, which is y = x s + shift. The last two
/// keep log s within 87 of 0, where float32 has both s and 1 / s.
enum class CouplingKind : int {
  additive,     // s = 1
  sigmoid2,     // s = sigmoid(raw + 2)
  bounded,      // s = exp((4 / pi) atan(raw))
  tanh,         // log s = gain tanh(raw), with one learned gain a coupling
  exponential,  // log s = raw
};

/// What a coupling's network returns, before the gather: row p, column t * out + o is what pixel p
/// adds to output o of the pixel that sees p as its tap t.
struct Taps {
  const float* data;  // [P, stride]; null: no coupling
  int taps;           // 9 or 1
  int stride;         // at least taps * out; what is behind those is not read
  const float* bias;  // [out]; null: none
  const float* edge;  // [taps * out], added where tap t falls outside the image; null: none
};

struct StepArgs {
  Grid grid;
  int channels;       // C
  const float* from;  // [P, C]
  float* to;          // [P, C]; null: not wanted. May be `from`
  int passed;         // channels that the coupling leaves as they are; b = C - passed
  Taps taps;          // out = 2 b (shift, then raw) when affine, b when additive
  CouplingKind kind;
  const float* gain;  // [1] of `tanh`
  Partials log_det;   // forward only
  float* raw;         // [P, coupling_kept(...)] kept for backward; null: not kept
  float* coupled;     // [P, C] forward: the state between the brackets, kept; null: not kept
  const float* mix;   // [C, C] M forward, M^-1 inverse; null: no mix
  const float* bias;  // [C]    forward: to = M (z + bias); inverse: to = M^-1 z - bias
  Columns columns;    // of the first columns.channels channels of `to`
  int withheld = 0;   // columns hold zeros in place of the last so many of those channels
  void* kept;         // [P, columns.channels] bf16: those, as bf16 columns have them; or null
  const void* again;  // what `kept` was: columns are made of it, and nothing else is done; or null
};

/// Backward of [coupling][mix] -> columns, last first:
/// dy += column gradients; G += sum dy (v + bias)^T, sum += sum dy, dv = M^T dy; then through the
/// coupling, whose output is v.
struct StepBackwardArgs {
  Grid grid;
  int channels;
  const float* dy;       // [P, C] gradient of the mix's output, without the columns' part
  Columns dcolumns;      // float32: of the first dcolumns.channels channels of that; null: none
  const float* mix;      // [C, C] M; null: no mix
  const float* bias;     // [C]
  const float* coupled;  // [P, C] v: what the mix saw and the coupling returned
  float* dmix;           // [C, C] added to: G; null: neither this nor dsum is wanted, or no mix
  float* dsum;           // [C]    added to
  int taps;              // of the coupling's network: 9 or 1; 0: no coupling
  int passed;            // as forward
  CouplingKind kind;
  const float* gain;      // [1] of `tanh`
  const float* raw;       // [P, coupling_kept(...)] as forward or inverse kept it
  const float* dlog_det;  // [N] dL/dlog_det of each image
  void* dtaps;            // [P, dtaps_stride] out: gradient of Taps::data, zeros behind it
  Dtype dtaps_type;
  int dtaps_stride;
  float* dtap_bias;  // [out]        added to
  float* dtap_edge;  // [taps * out] added to; null: none
  float* dgain;      // [1]          added to, of `tanh`
  float* dx;         // [P, C] out: gradient of the coupling's input, without its network's part
  float* workspace;  // step_backward_workspace(...) floats
};

/// Values that a coupling's network returns a pixel.
RHEO_HD constexpr int coupling_outputs(CouplingKind kind, int moved) {
  return kind == CouplingKind::additive ? moved : 2 * moved;
}

/// Floats a pixel that a coupling keeps for its backward: raw, and with `tanh` then x s, which y
/// less the shift would only give with a loss.
RHEO_HD constexpr int coupling_kept(CouplingKind kind, int moved) {
  if (kind == CouplingKind::additive) return 0;
  return kind == CouplingKind::tanh ? 2 * moved : moved;
}

/// Parts that the sums over pixels are cut into: a function of the shape alone, so that the order
/// of additions is too.
constexpr int kMostParts = 512;
constexpr int step_backward_parts(const Grid& grid) {
  const std::int64_t tiles = grid.count * tiles_of(grid);
  return static_cast<int>(tiles < kMostParts ? tiles : kMostParts);
}

/// Floats of one part: where they are wanted G and sum dy; then bias, edge and gain.
constexpr std::int64_t step_backward_part_size(CouplingKind kind, int channels, int moved, int taps,
                                               bool dmix) {
  const std::int64_t n = channels, out = coupling_outputs(kind, moved);
  return (dmix ? n * n + n : 0) + out + taps * out + (kind == CouplingKind::tanh ? 1 : 0);
}

constexpr std::int64_t step_backward_workspace(const Grid& grid, CouplingKind kind, int channels,
                                               int moved, int taps, bool dmix = true) {
  return step_backward_parts(grid) * step_backward_part_size(kind, channels, moved, taps, dmix);
}

namespace math {

struct CouplingScale {
  float value;    // s
  float log;      // log s
  float slope;    // dlog s / draw
  float by_gain;  // dlog s / dgain
};

/// s = sigmoid(raw + 2); exp sees only what is <= 0, so no raw overflows.
RHEO_HD CouplingScale sigmoid2_scale(float raw) {
  const float u = raw + 2.f;
  const float e = exp_of_negative(u < 0 ? u : -u);
  const float d = 1.f / (1.f + e);
  return {(u < 0 ? e : 1.f) * d, (u < 0 ? u : 0.f) - log1p_of_unit(e), (u < 0 ? 1.f : e) * d, 0.f};
}

/// s = exp((4 / pi) atan(raw)), between e^-2 and e^2.
RHEO_HD CouplingScale bounded_scale(float raw) {
  constexpr float kFourOverPi = 1.2732395447351628f;
  const float log = kFourOverPi * std::atan(raw);
  return {std::exp(log), log, kFourOverPi / (1.f + raw * raw), 0.f};
}

/// s = e^log within its bounds, beyond which it has no slope.
RHEO_HD CouplingScale scale_within_87(float log, float slope, float by_gain) {
  const float within = within_87(log);
  const bool inside = within == log;
  return {exp_within_87(log), within, inside ? slope : 0.f, inside ? by_gain : 0.f};
}

RHEO_HD CouplingScale tanh_scale(float raw, float gain) {
  const float t = tanh(raw);
  return scale_within_87(gain * t, gain * (1.f - t * t), t);
}

/// `gain` counts for `tanh` alone.
template <CouplingKind kKind>
RHEO_HD CouplingScale coupling_scale(float raw, float gain) {
  if constexpr (kKind == CouplingKind::sigmoid2) return sigmoid2_scale(raw);
  if constexpr (kKind == CouplingKind::bounded) return bounded_scale(raw);
  if constexpr (kKind == CouplingKind::tanh) return tanh_scale(raw, gain);
  if constexpr (kKind == CouplingKind::exponential) return scale_within_87(raw, 1.f, 0.f);
  return {1.f, 0.f, 0.f, 0.f};
}

struct Moved {
  float value;   // y forward, x inverse
  float scaled;  // y without what was added to it after the scale
};

template <CouplingKind kKind>
RHEO_HD Moved coupling_forward(float x, float shift, float scale) {
  if constexpr (kKind == CouplingKind::tanh) return {x * scale + shift, x * scale};
  const float y = (x + shift) * scale;
  return {y, y};
}

template <CouplingKind kKind>
RHEO_HD Moved coupling_inverse(float y, float shift, float scale) {
  if constexpr (kKind == CouplingKind::tanh) return {(y - shift) / scale, y - shift};
  return {y / scale - shift, y};
}

struct CouplingGradient {
  float dx, dshift, draw, dgain;
};

/// `scaled` as coupling_forward or coupling_inverse gave it: both ways to raw, of the value and of
/// the log-det, go through dL / dlog s.
template <CouplingKind kKind>
RHEO_HD CouplingGradient coupling_backward(float raw, float gain, float scaled, float dy,
                                           float dlog_det) {
  const CouplingScale s = coupling_scale<kKind>(raw, gain);
  const float dlog = dy * scaled + dlog_det, dx = dy * s.value;
  return {dx, kKind == CouplingKind::tanh ? dy : dx, dlog * s.slope, dlog * s.by_gain};
}

}  // namespace math
}  // namespace rheo
