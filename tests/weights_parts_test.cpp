// Mixes and products that lack parts, and masked products.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/weights.h"
#include "tests/reference/jacobian.h"
#include "tests/reference/matrix.h"
#include "tests/support/prepared.h"

namespace rheo::test {
namespace {

using reference::Values;

class WeightsPartsTest : public OnFolds {
 protected:
  /// Of each product against the oracle, NaN counting as different.
  void expect_products() {
    const Values values = folded();
    for (const ProductFold& p : folds_.products) {
      // A few roundings in float32, or one to bf16.
      const double room = p.type == Dtype::f32 ? 5e-7 : 1.0 / 250;
      const auto expect = [&](double got, double want, double relative) {
        ASSERT_NEAR(got, want, relative * std::abs(want));
      };
      reference::for_each_folded(
          made_.parameters, p, [&](std::int64_t at, double want, bool matrix) {
            expect(matrix ? packed(p.type, p.matrix, at) : values[at], want, matrix ? room : 5e-7);
          });
      for (int o = 0; o < (p.linear_bias < 0 ? 0 : p.out); ++o)
        expect(packed(p.type, p.linear_bias, o),
               reference::scale_of(made_.parameters, p, o) * made_.parameters[p.bias + o], room);
    }
  }
};

Folds mixes_of_parts() {
  Folds folds;
  for (int channels : {12, 5, 1})
    for (const auto& [actnorm, factors] :
         {std::pair{false, false}, {true, false}, {false, true}, {true, true}})
      folds.add_mix(channels, 35, actnorm, factors);
  return folds;
}

TEST_P(WeightsPartsTest, MixesAreMadeOfThePartsThatTheyHave) {
  start(mixes_of_parts(), Ignored::nan);
  const Values got = folded();
  const std::vector<double> log_det = arena_.read(made_.args.log_det, made_.args.mix_count);
  for (std::size_t k = 0; k < folds_.mixes.size(); ++k) {
    const MixFold& m = folds_.mixes[k];
    const int n = m.channels;
    const Values want = reference::mix_of(made_, made_.parameters, m);
    const Values inverse = reference::inverse(want, n);
    for (int i = 0; i < n * n; ++i) {
      // Computed in double, stored in float32.
      ASSERT_NEAR(got[m.mix + i], want[i], 1e-7 * (1 + std::abs(want[i]))) << "mix " << k;
      ASSERT_NEAR(got[m.inverse + i], inverse[i], 1e-7 * (1 + std::abs(inverse[i])));
    }
    for (int i = 0; i < n; ++i)
      ASSERT_EQ(got[m.folded_bias + i], reference::bias_of(made_.parameters, m, i));
    EXPECT_NEAR(log_det[k], reference::log_det_of(made_.parameters, m), 1e-12);
  }
  EXPECT_EQ(log_det[0], 0) << "a permutation alone";
  arena_.results();
}

TEST_P(WeightsPartsTest, BackwardGivesTheSlopesOfThePartsOfMixes) {
  start(mixes_of_parts(), Ignored::nan);
  expect_slopes(3 * (0 + 2 + 3 + 5));
}

Folds products_without_scale() {
  using enum ProductLayout;
  Folds folds;
  folds.add_product(columns, 5, 9, 3, true, 1, Dtype::f32, false);
  folds.add_product(columns, 6, 1, 4, false, -1, Dtype::bf16, false);
  folds.add_product(taps, 4, 1, 11, false, -1, Dtype::f32, false);
  folds.add_product(taps, 4, 9, 5, true, -1, Dtype::f32, false);
  folds.add_product(taps, 2, 9, 4, false, 1, Dtype::bf16, false);
  return folds;
}

TEST_P(WeightsPartsTest, ProductsWithoutAScaleAreMultipliedByTheGain) {
  start(products_without_scale());
  expect_products();
  const ProductFold& p = folds_.products[2];
  EXPECT_EQ(packed(p.type, p.matrix, 0), -made_.parameters[p.weight]);
  EXPECT_EQ(packed(p.type, p.linear_bias, 0), -made_.parameters[p.bias]);
  arena_.results();
}

TEST_P(WeightsPartsTest, BackwardGivesTheSlopesWithoutAScale) {
  start(products_without_scale());
  expect_slopes(5 * 2 + 2);
}

/// With learned scales and without, in both layouts and types.
Folds masked_products() {
  using enum ProductLayout;
  Folds folds;
  folds.add_made(MadeLayer::input, columns, 7, 5, 5, 3, Dtype::f32, true);
  folds.add_made(MadeLayer::input, columns, 3, 5, 5, -1, Dtype::bf16, false);
  folds.add_made(MadeLayer::hidden, taps, 11, 13, 5, -1, Dtype::f32, false);
  folds.add_made(MadeLayer::hidden, taps, 9, 10, 5, 3, Dtype::bf16, true);
  folds.add_made(MadeLayer::output, taps, 10, 11, 5, -1, Dtype::f32, false);
  folds.add_made(MadeLayer::output, taps, 5, 3, 5, 3, Dtype::f32, true);
  return folds;
}

TEST_P(WeightsPartsTest, MaskedWeightsAreZeroWhateverTheParameterHolds) {
  start(masked_products(), Ignored::nan);
  expect_products();
  arena_.results();
}

TEST_P(WeightsPartsTest, BackwardGivesTheSlopesOfMaskedProducts) {
  start(masked_products(), Ignored::nan);
  const std::vector<float> gradient = expect_slopes(6 * 2 + 3);
  int masked = 0;
  for (const ProductFold& p : folds_.products)
    for (int k = 0; k < p.out * p.in; ++k)
      if (!reference::made_sees(p, k / p.in, k % p.in)) {
        ASSERT_EQ(gradient[p.weight + k], 0);
        ++masked;
      }
  EXPECT_GT(masked, 100);
}

/// Networks of three masked products each, from D numbers to a shift and a raw for each of them.
class MadeTest : public WeightsPartsTest {
 protected:
  struct Net {
    int dims, hidden;
  };
  static constexpr Net kNets[] = {{1, 1}, {1, 4}, {2, 1}, {2, 5},  {3, 1}, {3, 2},
                                  {3, 8}, {5, 2}, {5, 3}, {5, 11}, {5, 64}};

  void SetUp() override {
    using enum ProductLayout;
    OnBackend::SetUp();
    Folds folds;
    for (const auto& [dims, hidden] : kNets) {
      const Dtype type = hidden % 2 ? Dtype::f32 : Dtype::bf16;
      folds.add_made(MadeLayer::input, columns, hidden, dims, dims, 1, type, false);
      folds.add_made(MadeLayer::hidden, taps, hidden, hidden, dims, 1, type, false);
      folds.add_made(MadeLayer::output, taps, 2 * dims, hidden, dims, -1, type, false);
    }
    start(std::move(folds));
  }

  /// The weights of a product as they were packed, [out, in].
  Values weights(const ProductFold& p) {
    Values values;
    for (int o = 0; o < p.out; ++o)
      for (int i = 0; i < p.in; ++i) values.push_back(packed(p.type, p.matrix, o * p.stride + i));
    return values;
  }

  static Values apply(const Values& matrix, const Values& x) {
    Values y(matrix.size() / x.size(), 0.0);
    for (std::size_t k = 0; k < matrix.size(); ++k) y[k / x.size()] += matrix[k] * x[k % x.size()];
    return y;
  }
};

TEST_P(MadeTest, NumbersAreGivenFromThoseBeforeThemAlone) {
  for (std::size_t k = 0; k < std::size(kNets); ++k) {
    const int dims = kNets[k].dims, hidden = kNets[k].hidden;
    SCOPED_TRACE(testing::Message() << dims << " numbers, " << hidden << " hidden units");
    const Values layers[] = {weights(folds_.products[3 * k]), weights(folds_.products[3 * k + 1]),
                             weights(folds_.products[3 * k + 2])};
    for (int part = 0; part < 2; ++part) {
      // ReLUs would stop some of the ways on which a mask must let through.
      const auto network = [&](bool relu) {
        return [&, relu](const Values& x) {
          Values y = x;
          for (const Values& layer : layers) {
            y = apply(layer, y);
            for (double& value : y)
              if (relu && &layer != &layers[2]) value = std::max(value + 0.5, 0.0);
          }
          return Values(y.begin() + part * dims, y.begin() + (part + 1) * dims);
        };
      };
      const Values x(dims, 0.3);
      const Values bent = reference::jacobian(network(true), x);
      const Values straight = reference::jacobian(network(false), x);
      const int degrees = std::min(hidden, std::max(dims - 1, 1));  // of the hidden units
      for (int c = 0; c < dims; ++c)
        for (int j = 0; j < dims; ++j) {
          if (j >= c) {
            ASSERT_EQ(bent[c * dims + j], 0) << c << " sees " << j;
          }
          ASSERT_EQ(straight[c * dims + j] != 0, j < c && j < degrees) << c << ", " << j;
        }
    }
  }
}

/// A mix of the widest level, which is a permutation.
class WidePermutationTest : public OnBackend {
 protected:
  static constexpr int kChannels = 1024;
};

TEST_P(WidePermutationTest, IsFoldedAndPulledBackEntryByEntry) {
  constexpr double kWeight = -0.7;
  constexpr int kPixels = 3;
  Arena arena(backend());
  Folds folds;
  folds.add_mix(kChannels, kPixels, true, false);
  Prepared made = make_weights(arena, folds);
  add_outputs(arena, folds, nullptr, made.args);
  backend().weights_prepare(made.args, nullptr);
  const std::vector<float> dfolded = arena.normal(folds.folded);
  float* gradient = arena.out<float>(folds.parameters);
  backend().weights_prepare_backward({.forward = made.args,
                                      .dfolded = arena.in(dfolded),
                                      .dpacked = nullptr,
                                      .dlog_det = kWeight,
                                      .dparameters = gradient},
                                     nullptr);
  const MixFold& m = folds.mixes[0];
  const std::vector<float> folded = arena.read(made.args.folded, folds.folded);
  const std::vector<float> got = arena.read(gradient, folds.parameters);
  for (int i = 0; i < kChannels; ++i) {
    const int one = made.permutations[i];
    const double scale = std::exp(made.parameters[m.log_scale + one]);
    const double own = std::exp(-made.parameters[m.log_scale + i]);
    for (int j = 0; j < kChannels; ++j) {
      // Computed in double, stored in float32.
      const double forward = j == one ? scale : 0, back = made.permutations[j] == i ? own : 0;
      ASSERT_NEAR(folded[m.mix + i * kChannels + j], forward, 1e-7 * forward);
      ASSERT_NEAR(folded[m.inverse + i * kChannels + j], back, 1e-7 * back);
    }
    const double dscale = kWeight * kPixels + scale * dfolded[m.mix + i * kChannels + one];
    ASSERT_NEAR(got[m.log_scale + one], dscale, 1e-6 * (1 + std::abs(dscale)));
    ASSERT_NEAR(got[m.bias + one], scale * dfolded[m.folded_bias + i], 1e-6 * (1 + scale));
  }
}

RHEO_ON_EVERY_BACKEND(WeightsPartsTest);
RHEO_ON_EVERY_BACKEND(MadeTest);
RHEO_ON_EVERY_BACKEND(WidePermutationTest);

// made_row takes the place in a period with float arithmetic, which is exact as far as it says.
TEST(MadeRow, SeesTheFirstOfEachPeriod) {
  for (int dims : {1, 2, 3, 4, 8, 64, 101, 784, 3072}) {
    ProductFold p{};
    p.made = MadeLayer::hidden, p.made_dims = dims;
    const int period = std::max(dims - 1, 1);
    for (int out : {0, 1, period / 2, period - 1}) {
      const math::MadeRow row = math::made_row(p, out);
      const int seen = 1 + out % period;
      for (int in = 0; in < 1 << 22; in += in < 1 << 14 || in > (1 << 22) - 8192 ? 1 : 7919)
        ASSERT_EQ(row.sees(in), in % period < seen) << dims << " numbers, unit " << in;
    }
  }
}

TEST(MadeRow, SeesWhatTheDegreesSay) {
  for (MadeLayer layer : {MadeLayer::none, MadeLayer::input, MadeLayer::hidden, MadeLayer::output})
    for (int dims : {1, 2, 3, 5, 40}) {
      ProductFold p{};
      p.made = layer, p.made_dims = dims;
      const int inputs = layer == MadeLayer::input ? dims : 97;
      for (int k = 0; k < 2 * dims * inputs; ++k)
        ASSERT_EQ(math::made_sees(p, k / inputs, k % inputs),
                  reference::made_sees(p, k / inputs, k % inputs))
            << "layer " << static_cast<int>(layer) << ", " << dims << " numbers, " << k;
    }
}

}  // namespace
}  // namespace rheo::test
