#pragma once

#include <vector>

#include "kernels/weights.h"
#include "tests/reference/image.h"

namespace rheo::reference {

/// What mixes are made of besides parameters.
struct MixConstants {
  std::vector<float> signs;
  std::vector<int> permutations;
};

/// W = Perm L U and the scales behind it, as matrices; what a mix lacks is the identity.
struct MixFactors {
  int n;
  Values perm, lower, upper, scale;

  MixFactors(const MixConstants& constants, const Values& parameters, const MixFold& m);
};

/// M = Perm L U diag(exp(log_scale)), as docs/model.md has it.
Values mix_of(const MixConstants& constants, const Values& parameters, const MixFold& m);

double log_det_of(const Values& parameters, const MixFold& m);

/// What ActNorm adds to channel j.
double bias_of(const Values& parameters, const MixFold& m, int j);

/// What output o of a product is multiplied by.
double scale_of(const Values& parameters, const ProductFold& p, int o);

/// Whether a product's output sees an input, from the degrees of both.
bool made_sees(const ProductFold& p, int out, int in);

/// f(where in a matrix of the layout, value) for each weight of a product, then for its bias and
/// edges f(where, value) as well, with matrix false where they lie among the folded values.
template <class F>
void for_each_folded(const Values& parameters, const ProductFold& p, const F& f) {
  const bool columns = p.layout == ProductLayout::columns;
  for (int o = 0; o < p.out; ++o) {
    const double s = scale_of(parameters, p, o);
    for (int t = 0; t < p.taps; ++t)
      for (int i = 0; i < p.in; ++i)
        f(columns ? o * p.stride + t * p.in + i : (t * p.out + o) * p.stride + i,
          made_sees(p, o, i) ? s * parameters[p.weight + (o * p.taps + t) * p.in + i] : 0, true);
    const int constants = o * p.stride + p.taps * p.in;
    f(columns ? constants : p.folded_bias + o, s * parameters[p.bias + o], columns);
    for (int t = 0; t < (p.edge < 0 ? 0 : p.taps); ++t)
      f(columns ? constants + 1 + t : p.folded_edge + t * p.out + o,
        s * parameters[p.edge + o * p.taps + t], columns);
  }
}

}  // namespace rheo::reference
