#pragma once

// Adam and Adamax (Kingma & Ba 2015, arXiv:1412.6980, algorithms 1 and 2) over one flat buffer,
// with clipping by the global norm and an exponential average of the weights.

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"

namespace rheo {

enum class AdamKind : int { adam, adamax, adamax_openai };

/// What changes from step to step: lives in device memory, so that a recorded step can be replayed.
struct AdamControl {
  double learning_rate;  // set before the step
  double norm;           // out: of the gradient, before clipping
  std::int64_t updates;  // t: updates made; adam_norm counts it up unless the step is skipped
  std::int64_t skip;     // out: 1 where adam_skips, and then nothing changes
};

struct AdamArgs {
  AdamControl* control;
  const double* log_prob;  // [log_prob_count] of the step's images: must be finite
  std::int64_t log_prob_count;
  const float* gradient;  // [size]
  float* parameters;      // [size]
  float* first;           // [size] moment m
  float* second;          // [size] moment v, or Adamax's u
  float* average;         // [size]; null: none kept
  std::int64_t size;
  AdamKind kind;
  double beta1, beta2, epsilon;
  double clip_norm;  // 0: no clipping
  double average_decay;
  double* workspace;  // [kAdamParts] of adam_norm
};

/// Parts of the norm's sum: fixed, so that its order is.
constexpr int kAdamParts = 256;

namespace math {

/// The factors of one step, the same for every value.
struct AdamFactors {
  float clip;    // on the gradient
  float rate;    // on m / (denominator)
  float debias;  // on the second moment under Adam's root
  float b1, b2, epsilon;
  float c1, c2;  // 1 - b1, 1 - b2, which float would lose of a b close to 1
  float follow;  // of the average: how far it moves
};

RHEO_HD AdamFactors adam_factors(const AdamArgs& a) {
  const AdamControl& c = *a.control;
  const double t = static_cast<double>(c.updates);
  const double first = 1 - std::pow(a.beta1, t), second = 1 - std::pow(a.beta2, t);
  const double root = a.kind == AdamKind::adamax_openai ? std::sqrt(second) : 1;
  const double clip = a.clip_norm > 0 && c.norm > a.clip_norm ? a.clip_norm / c.norm : 1;
  // The average starts as a plain mean, so that it does not remember the initial weights.
  const double decay = (t - 1) / t < a.average_decay ? (t - 1) / t : a.average_decay;
  return {.clip = static_cast<float>(clip),
          .rate = static_cast<float>(c.learning_rate * root / first),
          .debias = static_cast<float>(1 / second),
          .b1 = static_cast<float>(a.beta1),
          .b2 = static_cast<float>(a.beta2),
          .epsilon = static_cast<float>(a.epsilon),
          .c1 = static_cast<float>(1 - a.beta1),
          .c2 = static_cast<float>(1 - a.beta2),
          .follow = static_cast<float>(1 - decay)};
}

template <AdamKind kKind>
RHEO_HD void adam_update(const AdamFactors& f, float g, float& w, float& m, float& v) {
  g *= f.clip;
  m = f.b1 * m + f.c1 * g;
  if constexpr (kKind == AdamKind::adam) {
    v = f.b2 * v + f.c2 * g * g;
    w -= f.rate * m / (std::sqrt(v * f.debias) + f.epsilon);
  } else {
    const float kept = f.b2 * v, size = g < 0 ? -g : g;
    v = kept > size ? kept : size;
    w -= f.rate * m / (v + f.epsilon);
  }
}

/// The average moves towards the weight.
RHEO_HD float adam_average(const AdamFactors& f, float average, float w) {
  return average + f.follow * (w - average);
}

/// Whether x is neither infinite nor NaN.
RHEO_HD bool adam_finite(double x) {
  return x - x == 0;
}

/// 0, or NaN where w is not finite: a network may hide such a weight, for its ReLU takes NaN to 0.
RHEO_HD float adam_zero(float w) {
  return w - w;
}

/// Whether the squares that Adam keeps of a gradient, once it is clipped, would not be finite;
/// `squares` is their sum before.
RHEO_HD bool adam_overflows(double squares, double clip_norm) {
  constexpr double kMost = 1e38;  // float32 ends at 3.4e38
  const double clip = clip_norm * clip_norm;
  return (clip > 0 && squares > clip ? clip : squares) > kMost;
}

/// Whether a step must be left out: its loss, its gradient or a parameter is not finite, which the
/// sum of squares tells, or what Adam keeps would not be.
RHEO_HD bool adam_skips(const AdamArgs& a, double squares, double log_prob) {
  return !adam_finite(squares) || !adam_finite(log_prob) || adam_overflows(squares, a.clip_norm);
}

}  // namespace math
}  // namespace rheo
