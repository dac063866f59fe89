#include "tests/reference/weights.h"

#include <algorithm>
#include <cmath>

#include "tests/reference/matrix.h"

namespace rheo::reference {

MixFactors::MixFactors(const MixConstants& constants, const Values& parameters, const MixFold& m)
    : n(m.channels), perm(n * n, 0.0), lower(perm), upper(perm), scale(perm) {
  for (int i = 0; i < n; ++i) {
    perm[i * n + constants.permutations[m.permutation + i]] = 1;
    scale[i * n + i] = m.log_scale < 0 ? 1 : std::exp(parameters[m.log_scale + i]);
    lower[i * n + i] = upper[i * n + i] = 1;
    if (m.lower < 0) continue;
    upper[i * n + i] = constants.signs[m.sign + i] * std::exp(parameters[m.log_diagonal + i]);
    for (int j = 0; j < i; ++j) lower[i * n + j] = parameters[m.lower + i * n + j];
    for (int j = i + 1; j < n; ++j) upper[i * n + j] = parameters[m.upper + i * n + j];
  }
}

Values mix_of(const MixConstants& constants, const Values& parameters, const MixFold& m) {
  const MixFactors f(constants, parameters, m);
  return product(product(f.perm, f.lower, f.n), product(f.upper, f.scale, f.n), f.n);
}

double log_det_of(const Values& parameters, const MixFold& m) {
  double sum = 0;
  for (int i = 0; i < m.channels; ++i) {
    if (m.log_scale >= 0) sum += parameters[m.log_scale + i];
    if (m.log_diagonal >= 0) sum += parameters[m.log_diagonal + i];
  }
  return sum * static_cast<double>(m.pixels);
}

double bias_of(const Values& parameters, const MixFold& m, int j) {
  return m.bias < 0 ? 0 : parameters[m.bias + j];
}

double scale_of(const Values& parameters, const ProductFold& p, int o) {
  const auto gain = static_cast<double>(p.gain);
  return p.log_scale < 0 ? gain : std::exp(gain * parameters[p.log_scale + o]);
}

bool made_sees(const ProductFold& p, int out, int in) {
  if (p.made == MadeLayer::none) return true;
  const auto hidden_degree = [&](int unit) { return 1 + unit % std::max(p.made_dims - 1, 1); };
  const int below = p.made == MadeLayer::input ? in + 1 : hidden_degree(in);
  if (p.made == MadeLayer::output) return below < out % p.made_dims + 1;
  return below <= hidden_degree(out);
}

}  // namespace rheo::reference
