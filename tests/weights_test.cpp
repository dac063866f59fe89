#include "kernels/weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/reference/matrix.h"
#include "tests/support/backends.h"
#include "tests/support/cases.h"
#include "tests/support/folds.h"

namespace rheo::test {
namespace {

using reference::Values;

/// The arguments, and the values that they are made of.
struct Prepared {
  WeightsArgs args;
  Values parameters;
  std::vector<float> signs;
  std::vector<int> permutations;
};

Prepared make_weights(Arena& arena, const Folds& f, double deviation = 0.4) {
  Prepared made;
  const std::vector<float> parameters = arena.normal(f.parameters, deviation);
  made.parameters = {parameters.begin(), parameters.end()};
  for (std::int64_t i = 0; i < f.signs; ++i) made.signs.push_back(i % 3 ? 1.f : -1.f);
  for (const MixFold& m : f.mixes)
    for (int i = 0; i < m.channels; ++i)  // a cycle: not its own inverse
      made.permutations.push_back((i + 3) % m.channels);
  made.args = {.mixes = arena.in(f.mixes),
               .products = arena.in(f.products),
               .mix_count = static_cast<int>(f.mixes.size()),
               .product_count = static_cast<int>(f.products.size()),
               .parameters = arena.in(parameters),
               .signs = arena.in(made.signs),
               .permutations = arena.in(made.permutations),
               .folded = nullptr,
               .packed = nullptr,
               .log_det = nullptr,
               .workspace = arena.workspace<double>(f.workspace)};
  return made;
}

void add_outputs(Arena& arena, const Folds& f, void* packed, WeightsArgs& a) {
  a.folded = arena.out<float>(f.folded, 0.5);  // no sum is written, and no gap
  a.packed = packed;
  a.log_det = arena.out<double>(a.mix_count);
}

/// W = Perm L U and the scales behind it, as matrices.
struct MixFactors {
  int n;
  Values perm, lower, upper, scale;

  MixFactors(const Prepared& made, const Values& parameters, const MixFold& m)
      : n(m.channels), perm(n * n, 0.0), lower(perm), upper(perm), scale(perm) {
    for (int i = 0; i < n; ++i) {
      perm[i * n + made.permutations[m.permutation + i]] = 1;
      scale[i * n + i] = std::exp(parameters[m.log_scale + i]);
      lower[i * n + i] = 1;
      upper[i * n + i] = made.signs[m.sign + i] * std::exp(parameters[m.log_diagonal + i]);
      for (int j = 0; j < i; ++j) lower[i * n + j] = parameters[m.lower + i * n + j];
      for (int j = i + 1; j < n; ++j) upper[i * n + j] = parameters[m.upper + i * n + j];
    }
  }
};

/// M = Perm L U diag(exp(log_scale)), as docs/model.md has it.
Values mix_of(const Prepared& made, const Values& parameters, const MixFold& m) {
  const MixFactors f(made, parameters, m);
  using reference::product;
  return product(product(f.perm, f.lower, f.n), product(f.upper, f.scale, f.n), f.n);
}

double log_det_of(const Values& parameters, const MixFold& m) {
  double sum = 0;
  for (int i = 0; i < m.channels; ++i)
    sum += parameters[m.log_scale + i] + parameters[m.log_diagonal + i];
  return sum * static_cast<double>(m.pixels);
}

/// f(where in a matrix of the layout, value) for each weight of a product, then for its bias and
/// edges f(where, value) as well, with matrix false where they lie among the folded values.
template <class F>
void for_each_folded(const Values& parameters, const ProductFold& p, const F& f) {
  const bool columns = p.layout == ProductLayout::columns;
  for (int o = 0; o < p.out; ++o) {
    const double s = std::exp(static_cast<double>(p.gain) * parameters[p.log_scale + o]);
    for (int t = 0; t < p.taps; ++t)
      for (int i = 0; i < p.in; ++i)
        f(columns ? o * p.stride + t * p.in + i : (t * p.out + o) * p.stride + i,
          s * parameters[p.weight + (o * p.taps + t) * p.in + i], true);
    const int constants = o * p.stride + p.taps * p.in;
    f(columns ? constants : p.folded_bias + o, s * parameters[p.bias + o], columns);
    for (int t = 0; t < (p.edge < 0 ? 0 : p.taps); ++t)
      f(columns ? constants + 1 + t : p.folded_edge + t * p.out + o,
        s * parameters[p.edge + o * p.taps + t], columns);
  }
}

class WeightsTest : public OnBackend {
 protected:
  void SetUp() override {
    OnBackend::SetUp();
    folds_ = all_folds(12, Dtype::f32, Dtype::bf16);
    made_ = make_weights(arena_, folds_);
    add_outputs(arena_, folds_, arena_.out<std::uint8_t>(folds_.packed), made_.args);
    backend().weights_prepare(made_.args, nullptr);
  }

  Values folded() {
    const auto values = arena_.read(made_.args.folded, folds_.folded);
    return {values.begin(), values.end()};
  }

  /// Value i of what is packed so many bytes from the start.
  double packed(Dtype type, std::int64_t bytes, std::int64_t i) {
    const char* first = static_cast<const char*>(made_.args.packed) + bytes;
    if (type == Dtype::f32) return arena_.read(reinterpret_cast<const float*>(first) + i, 1)[0];
    return from_bf16(arena_.read(reinterpret_cast<const Bf16*>(first) + i, 1)[0]);
  }

  /// What the gradients of weights_prepare_backward are of: random weights on every folded value,
  /// and for each mix a pixel's dy . M (z + bias), of which G and the sum are made.
  double functional(const Values& parameters) {
    double sum = 0;
    for (const MixFold& m : folds_.mixes) {
      const Values mix = mix_of(made_, parameters, m);
      for (int i = 0; i < m.channels; ++i)
        for (int j = 0; j < m.channels; ++j)
          sum += dy_[i] * mix[i * m.channels + j] * (z_[j] + parameters[m.bias + j]);
      sum += kWeight * log_det_of(parameters, m);
    }
    for (const ProductFold& p : folds_.products)
      for_each_folded(parameters, p, [&](std::int64_t at, double value, bool matrix) {
        sum += value * (matrix ? dpacked_[p.dmatrix + at] : dfolded_[at]);
      });
    return sum;
  }

  /// dfolded with G and the sum of the functional's pixel.
  std::vector<float> incoming() {
    std::vector<float> values = arena_.normal(folds_.folded);
    for (const MixFold& m : folds_.mixes)
      for (int i = 0; i < m.channels; ++i) {
        values[m.sum + i] = static_cast<float>(dy_[i]);
        for (int j = 0; j < m.channels; ++j)
          values[m.mix + i * m.channels + j] =
              static_cast<float>(dy_[i] * (z_[j] + made_.parameters[m.bias + j]));
      }
    return values;
  }

  static constexpr double kWeight = -0.7;
  Arena arena_{backend()};
  Folds folds_;
  Prepared made_;
  Values dy_, z_, dfolded_, dpacked_;
};

TEST_P(WeightsTest, MixIsTheProductOfItsFactorsAndItsInverseUndoesIt) {
  const Values got = folded();
  for (const MixFold& m : folds_.mixes) {
    const int n = m.channels;
    const Values want = mix_of(made_, made_.parameters, m), inverse = reference::inverse(want, n);
    const auto first = got.begin();
    for (int k = 0; k < n * n; ++k) {
      // Computed in double, stored in float32.
      ASSERT_NEAR(got[m.mix + k], want[k], 1e-7 * (1 + std::abs(want[k])));
      ASSERT_NEAR(got[m.inverse + k], inverse[k], 1e-7 * (1 + std::abs(inverse[k])));
    }
    const Values one = reference::product({first + m.mix, first + m.mix + n * n},
                                          {first + m.inverse, first + m.inverse + n * n}, n);
    // Rounding to float32, times entries of M and M^-1 up to 30.
    for (int k = 0; k < n * n; ++k) ASSERT_NEAR(one[k], k % (n + 1) == 0, 1e-5);
  }
}

TEST_P(WeightsTest, LogDetIsThatOfScalesAndDiagonal) {
  const std::vector<double> got = arena_.read(made_.args.log_det, 2);
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_NEAR(got[i], log_det_of(made_.parameters, folds_.mixes[i]), 1e-12);
}

TEST_P(WeightsTest, ProductsAreScaledWeightsInEachLayout) {
  const Values values = folded();
  for (const ProductFold& p : folds_.products) {
    const double room = p.type == Dtype::f32 ? 5e-7 : 1.0 / 250;
    std::vector<bool> seen(p.stride * p.out * (p.layout == ProductLayout::taps ? p.taps : 1));
    for_each_folded(made_.parameters, p, [&](std::int64_t at, double want, bool matrix) {
      const double got = matrix ? packed(p.type, p.matrix, at) : values[at];
      ASSERT_NEAR(got, want, (matrix ? room : 5e-7) * std::abs(want));
      if (matrix) seen[at] = true;
    });
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const double padding = seen[i] ? 0 : packed(p.type, p.matrix, static_cast<std::int64_t>(i));
      ASSERT_EQ(padding, 0) << "value " << i;
    }
  }
  arena_.results();
}

TEST_P(WeightsTest, BiasOfAProductIsInItsTypeToo) {
  int biases = 0;
  for (const ProductFold& p : folds_.products)
    for (int o = 0; o < (p.linear_bias < 0 ? 0 : p.out); ++o, ++biases) {
      const double s = std::exp(p.gain * made_.parameters[p.log_scale + o]);
      const double want = made_.parameters[p.bias + o] * s;
      ASSERT_NEAR(packed(p.type, p.linear_bias, o), want,
                  (p.type == Dtype::f32 ? 5e-7 : 1.0 / 250) * std::abs(want));
    }
  EXPECT_EQ(biases, 5 + 9 + 2);
}

TEST_P(WeightsTest, BackwardGivesTheSlopesOfEveryParameter) {
  for (float value : arena_.normal(12)) dy_.push_back(value);
  for (float value : arena_.normal(12)) z_.push_back(value);
  const std::vector<float> dfolded = incoming(), dpacked = arena_.normal(folds_.dpacked);
  dfolded_ = {dfolded.begin(), dfolded.end()}, dpacked_ = {dpacked.begin(), dpacked.end()};
  float* gradient = arena_.out<float>(folds_.parameters);
  backend().weights_prepare_backward({.forward = made_.args,
                                      .dfolded = arena_.in(dfolded),
                                      .dpacked = arena_.in(dpacked),
                                      .dlog_det = kWeight,
                                      .dparameters = gradient},
                                     nullptr);
  const std::vector<float> got = arena_.read(gradient, folds_.parameters);
  constexpr double kStep = 1e-5;
  Values moved = made_.parameters;
  int gaps = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    moved[i] = made_.parameters[i] + kStep;
    const double above = functional(moved);
    moved[i] = made_.parameters[i] - kStep;
    const double slope = (above - functional(moved)) / (2 * kStep);
    moved[i] = made_.parameters[i];
    gaps += got[i] == kSentinel;
    if (got[i] == kSentinel) {
      ASSERT_NEAR(slope, 0, 1e-9) << "parameter " << i << " has none";
    } else {
      // A functional of 1e2 over the step; entries come rounded to float32.
      ASSERT_NEAR(got[i], slope, 3e-6 * (1 + std::abs(slope))) << "parameter " << i;
    }
  }
  EXPECT_EQ(gaps, 1 + 3 * (2 * 5 + 7 * 3 + 2)) << "written, and nothing between";
  arena_.results();
}

/// A mix of a deep level, wider than what a block of threads keeps close to itself.
class WideMixTest : public OnBackend {
 protected:
  static constexpr int kChannels = 200;
  static constexpr int kSize = kChannels * kChannels;

  void SetUp() override {
    OnBackend::SetUp();
    folds_.add_mix(kChannels, 3);
    // L and U close to one: their inverses grow like (1 + deviation)^channels.
    made_ = make_weights(arena_, folds_, 0.02);
    add_outputs(arena_, folds_, nullptr, made_.args);
    backend().weights_prepare(made_.args, nullptr);
  }

  const MixFold& mix() const { return folds_.mixes[0]; }

  Arena arena_{backend()};
  Folds folds_;
  Prepared made_;
};

TEST_P(WideMixTest, IsTheProductOfItsFactorsAndItsInverseUndoesIt) {
  const Values want = mix_of(made_, made_.parameters, mix());
  const Values inverse = reference::inverse(want, kChannels);
  const std::vector<float> got = arena_.read(made_.args.folded, folds_.folded);
  for (int k = 0; k < kSize; ++k) {
    ASSERT_NEAR(got[mix().mix + k], want[k], 1e-7 * (1 + std::abs(want[k])));
    ASSERT_NEAR(got[mix().inverse + k], inverse[k], 1e-7 * (1 + std::abs(inverse[k])));
  }
  EXPECT_NEAR(arena_.read(made_.args.log_det, 1)[0], log_det_of(made_.parameters, mix()), 1e-12);
}

TEST_P(WideMixTest, BackwardIsThatOfTheMatrices) {
  constexpr double kWeight = -0.7;
  const int n = kChannels;
  const std::vector<float> dfolded = arena_.normal(folds_.folded);
  float* gradient = arena_.out<float>(folds_.parameters);
  backend().weights_prepare_backward({.forward = made_.args,
                                      .dfolded = arena_.in(dfolded),
                                      .dpacked = nullptr,
                                      .dlog_det = kWeight,
                                      .dparameters = gradient},
                                     nullptr);
  const std::vector<float> got = arena_.read(gradient, folds_.parameters);
  const auto expect = [&](std::int64_t at, double want) {
    // Float32's rounding of M, times 200 products of N(0, 1), and of the result.
    ASSERT_NEAR(got[at], want, 2e-6 * (1 + std::abs(want))) << "parameter " << at;
  };

  const MixFactors f(made_, made_.parameters, mix());
  const Values g(dfolded.begin() + mix().mix, dfolded.begin() + mix().mix + kSize);
  const auto transposed = [n](const Values& a) {
    Values b(a.size());
    for (int k = 0; k < kSize; ++k) b[k % n * n + k / n] = a[k];
    return b;
  };
  using reference::product;
  const Values m = mix_of(made_, made_.parameters, mix());
  const Values a = product(transposed(f.perm), product(g, f.scale, n), n);
  const Values dlower = product(a, transposed(f.upper), n);
  const Values dupper = product(transposed(f.lower), a, n);
  for (int j = 0; j < n; ++j) {
    double dscale = kWeight * 3, dbias = 0;
    for (int i = 0; i < n; ++i) {
      dscale += m[i * n + j] * g[i * n + j];
      dbias += m[i * n + j] * static_cast<double>(dfolded[mix().sum + i]);
      expect(mix().lower + i * n + j, i > j ? dlower[i * n + j] : 0);
      expect(mix().upper + i * n + j, i < j ? dupper[i * n + j] : 0);
    }
    expect(mix().log_scale + j, dscale);
    expect(mix().bias + j, dbias);
    expect(mix().log_diagonal + j, dupper[j * n + j] * f.upper[j * n + j] + kWeight * 3);
  }
  arena_.results();
}

RHEO_ON_EVERY_BACKEND(WeightsTest);
RHEO_ON_EVERY_BACKEND(WideMixTest);

/// Half of the options have every tensor where a vector may begin.
Folds folds_case(const CaseShape& shape, Dtype type, Dtype other) {
  return all_folds(shape.channels, type, other, shape.option < 2 ? 1 : 4);
}

}  // namespace

WeightsArgs weights_prepare_case(Arena& arena, const CaseShape& shape) {
  const Dtype type = shape.option % 2 ? Dtype::bf16 : Dtype::f32;
  const Folds folds = folds_case(shape, type, type);
  // Rows are padded to a multiple of 16, which is most of a narrow one.
  WeightsArgs args = make_weights(arena, folds).args;
  add_outputs(arena, folds, arena.out(type, folds.packed / size_of(type), 0.7), args);
  return args;
}

WeightsBackwardArgs weights_prepare_backward_case(Arena& arena, const CaseShape& shape) {
  const Folds folds = folds_case(shape, Dtype::f32, Dtype::bf16);
  Prepared made = make_weights(arena, folds);
  made.args.folded = arena.in(folds.folded);
  return {.forward = made.args,
          .dfolded = arena.in(folds.folded),
          .dpacked = arena.in(folds.dpacked),
          .dlog_det = -1.0 / (1 + shape.option),
          .dparameters = arena.out<float>(folds.parameters, 0.5)};  // outside their triangles zero
}

}  // namespace rheo::test
