#include "kernels/adam.h"

#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// Values first .. last - 1 of part i.
struct Part {
  std::int64_t first, last;
};

Part part_of(std::int64_t size, std::int64_t i) {
  return {size * i / kAdamParts, size * (i + 1) / kAdamParts};
}

/// Of the gradient's squares; NaN where a parameter is not finite.
double checked_squares(const AdamArgs& a, Part part) {
  const float *g = a.gradient, *w = a.parameters;
  double lanes[8] = {};
  float zeros[8] = {};
  std::int64_t i = part.first;
  for (; i + 8 <= part.last; i += 8)
    for (int l = 0; l < 8; ++l) {
      const double v = static_cast<double>(g[i + l]);
      lanes[l] += v * v;
      zeros[l] += math::adam_zero(w[i + l]);
    }
  for (; i < part.last; ++i) {
    lanes[0] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    zeros[0] += math::adam_zero(w[i]);
  }
  double sum = 0;
  for (int l = 0; l < 8; ++l) sum += lanes[l] + static_cast<double>(zeros[l]);
  return sum;
}

template <AdamKind kKind>
void update(const AdamArgs& a) {
  const math::AdamFactors f = math::adam_factors(a);
  parallel_for(kAdamParts, a.size * 2 * kPerValue, [&](std::int64_t i) {
    const Part part = part_of(a.size, i);
    for (std::int64_t k = part.first; k < part.last; ++k)
      math::adam_update<kKind>(f, a.gradient[k], a.parameters[k], a.first[k], a.second[k]);
    if (a.average)
      for (std::int64_t k = part.first; k < part.last; ++k)
        a.average[k] = math::adam_average(f, a.average[k], a.parameters[k]);
  });
}

}  // namespace

void adam_norm(const AdamArgs& a, Stream) {
  parallel_for(kAdamParts, a.size * kPerValue,
               [&](std::int64_t i) { a.workspace[i] = checked_squares(a, part_of(a.size, i)); });
  double squares = 0, log_prob = 0;
  for (int i = 0; i < kAdamParts; ++i) squares += a.workspace[i];
  for (std::int64_t n = 0; n < a.log_prob_count; ++n) log_prob += a.log_prob[n];
  AdamControl& control = *a.control;
  control.norm = std::sqrt(squares);
  control.skip = math::adam_skips(a, squares, log_prob) ? 1 : 0;
  if (!control.skip) ++control.updates;
}

void adam_update(const AdamArgs& a, Stream) {
  if (a.control->skip) return;
  switch (a.kind) {
    case AdamKind::adam:
      return update<AdamKind::adam>(a);
    case AdamKind::adamax:
      return update<AdamKind::adamax>(a);
    case AdamKind::adamax_openai:
      return update<AdamKind::adamax_openai>(a);
  }
}

}  // namespace rheo::cpu::RHEO_ISA
