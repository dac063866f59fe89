#include "kernels/weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/reference/matrix.h"
#include "tests/support/prepared.h"

namespace rheo::test {
namespace {

using reference::for_each_folded, reference::log_det_of, reference::mix_of, reference::MixFactors;
using reference::Values;

class WeightsTest : public OnFolds {
 protected:
  void SetUp() override {
    OnBackend::SetUp();
    start(all_folds(12, Dtype::f32, Dtype::bf16));
  }
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
  expect_slopes(2 * 5 + 7 * 3 + 2);
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
      dbias += m[i * n + j] * static_cast<double>(dfolded[mix().folded_bias + i]);
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
  using enum ProductLayout;
  Folds folds = all_folds(shape.channels, type, other, shape.option < 2 ? 1 : 4);
  folds.add_mix(3, 8, true, false);
  folds.add_mix(shape.channels, 8, false, true);
  folds.add_product(columns, 9, 9, 5, true, -1, type, false);
  folds.add_made(MadeLayer::input, columns, 40, 5, 5, 1, type, false);
  folds.add_made(MadeLayer::hidden, taps, 33, 40, 5, 3, type, true);
  folds.add_made(MadeLayer::output, taps, 10, 33, 5, -1, type, false);
  return folds;
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
