#pragma once

// Priors of the latents that leave at a split or at the top (Glow's learned priors; docs/model.md,
// "Split", "Top", "Latents"): eps = (z - mean) / exp(log_sd) is standard normal or standard
// logistic.

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/math.h"
#include "kernels/random.h"
#include "kernels/view.h"

namespace rheo {

/// What eps is distributed as.
enum class PriorKind : int { gaussian, logistic };

/// `temperature` times eps for each value of the latents of images `first` .. `first + count - 1`.
struct NoiseArgs {
  float* eps;  // [count, dims]
  std::int64_t count;
  std::int64_t dims;
  std::int64_t first;
  std::uint64_t seed;
  float temperature;
  PriorKind kind = PriorKind::gaussian;
};

struct PriorArgs {
  Grid grid;
  int channels;  // of z
  float* z;      // rows of z_stride; log_prob reads it, sample writes it
  int z_stride;
  const float* mean;  // rows of parameter_stride: one a pixel, or one a label
  const float* log_sd;
  int parameter_stride;
  bool by_label;            // rows by labels[n], or row 0 where labels is null
  const int* labels;        // [N]
  bool bounded;             // log_sd counts as 4 tanh(log_sd / 4)
  float* eps;               // log_prob writes it (null: not wanted), sample reads it
  std::int64_t eps_stride;  // from one image's values to the next's
  Partials log_prob;        // log_prob only
  PriorKind kind = PriorKind::gaussian;
};

struct PriorBackwardArgs {
  PriorArgs forward;       // eps and log_prob unused
  const float* dlog_prob;  // [N]
  float* dz;               // rows of z_stride, written
  // By pixel: rows of parameter_stride, written; by label: added to. Null: not wanted.
  float* dmean;
  float* dlog_sd;
};

namespace math {

/// The log_sd that counts, of the stored or computed one.
RHEO_HD float prior_log_sd(float value, bool bounded) {
  return bounded ? 4.f * std::tanh(0.25f * value) : value;
}

/// Its slope, of the log_sd that counts.
RHEO_HD float prior_log_sd_slope(float log_sd, bool bounded) {
  return bounded ? 1.f - log_sd * log_sd * (1.f / 16.f) : 1.f;
}

/// log N(z; mean, exp(log_sd)^2).
RHEO_HD float gaussian_log_prob(float eps, float log_sd) {
  constexpr float kHalfLog2Pi = 0.91893853320467274f;
  return -0.5f * eps * eps - log_sd - kHalfLog2Pi;
}

/// log of the logistic density -eps - log_sd - 2 log(1 + e^-eps), which is even in eps.
RHEO_HD float logistic_log_prob(float eps, float log_sd) {
  const float a = std::fabs(eps);
  return -a - log_sd - 2.f * log1p_of_unit(exp_of_negative(-a));
}

RHEO_HD float prior_log_prob(PriorKind kind, float eps, float log_sd) {
  return kind == PriorKind::logistic ? logistic_log_prob(eps, log_sd)
                                     : gaussian_log_prob(eps, log_sd);
}

/// -dlog p / deps.
RHEO_HD float prior_pull(PriorKind kind, float eps) {
  return kind == PriorKind::logistic ? tanh(0.5f * eps) : eps;
}

struct Whitened {
  float eps;
  float log_sd;      // that counts
  float inverse_sd;  // its e^-log_sd
};

/// `log_sd` is the stored or computed one here and below.
RHEO_HD Whitened whiten(float z, float mean, float log_sd, bool bounded) {
  const float counts = prior_log_sd(log_sd, bounded), inverse_sd = std::exp(-counts);
  return {(z - mean) * inverse_sd, counts, inverse_sd};
}

/// z of its eps.
RHEO_HD float colour(float eps, float mean, float log_sd, bool bounded) {
  return mean + std::exp(prior_log_sd(log_sd, bounded)) * eps;
}

struct PriorGradient {
  float dz;  // that of the mean is its negative
  float dlog_sd;
};

/// With u = prior_pull(eps): dz = -u / sd and dlog_sd = u eps - 1, times dL/dlog p.
RHEO_HD PriorGradient prior_gradient(PriorKind kind, float z, float mean, float log_sd,
                                     bool bounded, float dlog_prob) {
  const Whitened w = whiten(z, mean, log_sd, bounded);
  const float slope = prior_log_sd_slope(w.log_sd, bounded), pull = prior_pull(kind, w.eps);
  return {-pull * w.inverse_sd * dlog_prob, (pull * w.eps - 1.f) * slope * dlog_prob};
}

/// Of one block of the generator.
struct PriorDraws {
  float at[4];
};

RHEO_HD PriorDraws prior_draws(PriorKind kind, const r123::Philox4x32::ctr_type& words) {
  if (kind == PriorKind::logistic)
    return {{logistic(words[0]), logistic(words[1]), logistic(words[2]), logistic(words[3])}};
  const NormalPair low = normals(words[0], words[1]), high = normals(words[2], words[3]);
  return {{low.first, low.second, high.first, high.second}};
}

}  // namespace math
}  // namespace rheo
