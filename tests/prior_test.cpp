#include "kernels/prior.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

/// Priors of images of 5 x 14 pixels (a tile and a part of one) with 3 channels, in wider rows.
constexpr Grid kGrid{4, 5, 14};
constexpr int kChannels = 3, kZStride = 7, kParameterStride = 6, kLabelRows = 5;
constexpr std::int64_t kPixels = kGrid.pixels(), kImagePixels = kGrid.image_pixels();
constexpr std::int64_t kEpsStride = kImagePixels * kChannels + 9;

struct Kind {
  bool by_label, labels, bounded;
  PriorKind prior = PriorKind::gaussian;
};

constexpr Kind kKinds[] = {{false, false, false},
                           {false, false, true},
                           {true, false, false},
                           {true, true, false},
                           {true, true, true},
                           {false, false, false, PriorKind::logistic},
                           {false, false, true, PriorKind::logistic},
                           {true, true, true, PriorKind::logistic}};

/// log p of eps in front of the scale.
double standard_log_prob(PriorKind prior, double eps) {
  if (prior == PriorKind::gaussian) return -eps * eps / 2 - std::log(2 * std::numbers::pi) / 2;
  const double tail = std::exp(-std::abs(eps));  // the density is even
  return -std::abs(eps) - 2 * std::log1p(tail);
}

class PriorTest : public OnBackend {
 protected:
  PriorArgs arguments(const Kind& kind) {
    rows_ = kind.by_label ? kLabelRows : kPixels;
    z_ = arena_.normal(kPixels * kZStride, 2);
    parameters_ = arena_.normal(rows_ * kParameterStride, 0.7);
    labels_ = kind.labels ? std::vector<int>{4, 0, 3, 4} : std::vector<int>(4, 0);
    const float* rows = arena_.in(parameters_);
    return {.grid = kGrid,
            .channels = kChannels,
            .z = arena_.inout(z_),
            .z_stride = kZStride,
            .mean = rows,
            .log_sd = rows + kChannels,
            .parameter_stride = kParameterStride,
            .by_label = kind.by_label,
            .labels = kind.labels ? arena_.in(labels_) : nullptr,
            .bounded = kind.bounded,
            .eps = arena_.out<float>(kGrid.count * kEpsStride),
            .eps_stride = kEpsStride,
            .log_prob = {arena_.out<float>(kGrid.count * 8) + 3, 8},
            .kind = kind.prior};
  }

  /// sum over images of weights[n] log p, in double, with one value moved.
  double log_prob(const PriorArgs& a, const std::vector<double>& weights, const float* moved,
                  double distance) const {
    const auto at = [&](const std::vector<float>& values, std::int64_t i) {
      const float* place = values.data() + i;
      return static_cast<double>(*place) + (place == moved ? distance : 0);
    };
    double sum = 0;
    for (std::int64_t p = 0; p < kPixels; ++p) {
      const auto n = static_cast<std::size_t>(p / kImagePixels);
      const std::int64_t row = a.by_label ? labels_[n] : p;
      for (int c = 0; c < kChannels; ++c) {
        const std::int64_t parameter = row * kParameterStride + c;
        double log_sd = at(parameters_, parameter + kChannels);
        if (a.bounded) log_sd = 4 * std::tanh(log_sd / 4);
        const double eps =
            (at(z_, p * kZStride + c) - at(parameters_, parameter)) / std::exp(log_sd);
        sum += weights[n] * (standard_log_prob(a.kind, eps) - log_sd);
      }
    }
    return sum;
  }

  double slope(const PriorArgs& a, const std::vector<double>& weights, const float* value) const {
    constexpr double kStep = 1e-5;
    return (log_prob(a, weights, value, kStep) - log_prob(a, weights, value, -kStep)) / (2 * kStep);
  }

  Arena arena_{backend()};
  std::int64_t rows_ = 0;
  std::vector<float> z_, parameters_;
  std::vector<int> labels_;
};

TEST_P(PriorTest, LogProbIsThatOfTheDensity) {
  for (const Kind& kind : kKinds) {
    const PriorArgs a = arguments(kind);
    backend().prior_log_prob(a, nullptr);
    const std::vector<float> partials = arena_.read(a.log_prob.data - 3, kGrid.count * 8);
    for (std::size_t n = 0; n < 4; ++n) {
      std::vector<double> weights(4, 0.0);
      weights[n] = 1;
      const double want = log_prob(a, weights, nullptr, 0);
      // 210 terms, of which a squared eps with sd e^-2 may be some 1e3, at float's 1e-7.
      EXPECT_NEAR(static_cast<double>(partials[n * 8 + 3]) + partials[n * 8 + 4], want,
                  2e-6 * std::abs(want) + 1e-3);
      EXPECT_EQ(partials[n * 8 + 2], kSentinel);
      EXPECT_EQ(partials[n * 8 + 5], kSentinel);
    }
    arena_.results();
  }
}

TEST_P(PriorTest, SampleUndoesLogProb) {
  for (const Kind& kind : kKinds) {
    PriorArgs a = arguments(kind);
    backend().prior_log_prob(a, nullptr);
    a.z = arena_.out<float>(kPixels * kZStride, 1);
    backend().prior_sample(a, nullptr);
    const std::vector<float> back = arena_.read(a.z, kPixels * kZStride);
    for (std::size_t i = 0; i < back.size(); ++i) {
      if (i % kZStride >= kChannels) {
        ASSERT_EQ(back[i], kSentinel) << "not a channel of z";
      }
      // z - mean is rounded, divided and multiplied again: a few ulp of |z| + |mean|.
      if (i % kZStride < kChannels) {
        ASSERT_NEAR(back[i], z_[i], 3e-6 * (1 + std::abs(z_[i])));
      }
    }
  }
}

TEST_P(PriorTest, LogProbUndoesSample) {
  for (const Kind& kind : kKinds) {
    PriorArgs a = arguments(kind);
    const std::vector<float> eps = arena_.normal(kGrid.count * kEpsStride);
    a.eps = arena_.inout(eps);
    backend().prior_sample(a, nullptr);
    a.eps = arena_.out<float>(kGrid.count * kEpsStride);
    backend().prior_log_prob(a, nullptr);
    const std::vector<float> back = arena_.read(a.eps, kGrid.count * kEpsStride);
    for (std::size_t i = 0; i < back.size(); ++i) {
      const bool used = i % kEpsStride < kImagePixels * kChannels;
      // Rounding of z = mean + sd eps, seen through sd >= e^-2.8.
      if (used) {
        ASSERT_NEAR(back[i], eps[i], 2e-5 * (1 + std::abs(eps[i])));
      }
      if (!used) {
        ASSERT_EQ(back[i], kSentinel) << "behind an image's values";
      }
    }
  }
}

/// With one mean and log_sd for all of z.
class PriorCurveTest : public OnBackend {
 protected:
  static constexpr float kMean = 0.3f, kLogSd = -0.8f;

  PriorArgs arguments(const std::vector<float>& z, PriorKind kind, bool bounded) {
    return {.grid = {static_cast<std::int64_t>(z.size()), 1, 1},
            .channels = 1,
            .z = arena_.inout(z),
            .z_stride = 1,
            .mean = arena_.in(std::vector<float>{kMean}),
            .log_sd = arena_.in(std::vector<float>{kLogSd}),
            .parameter_stride = 1,
            .by_label = true,
            .labels = nullptr,
            .bounded = bounded,
            .eps = nullptr,
            .eps_stride = 1,
            .log_prob = {arena_.out<float>(static_cast<std::int64_t>(z.size())), 1},
            .kind = kind};
  }

  std::vector<float> log_prob(const PriorArgs& a) {
    backend().prior_log_prob(a, nullptr);
    return arena_.read(a.log_prob.data, a.grid.count);
  }

  Arena arena_{backend()};
};

TEST_P(PriorCurveTest, DensityIntegratesToOne) {
  for (PriorKind kind : {PriorKind::gaussian, PriorKind::logistic})
    for (bool bounded : {false, true}) {
      constexpr int kPoints = 4001;
      const double sd = std::exp(bounded ? 4 * std::tanh(kLogSd / 4.0) : kLogSd * 1.0);
      // What is left out: 1e-15 beyond eight deviations, 8e-18 beyond forty scales.
      const double reach = (kind == PriorKind::gaussian ? 8 : 40) * sd;
      std::vector<float> z(kPoints);
      const double step = 2 * reach / (kPoints - 1);
      for (int i = 0; i < kPoints; ++i) z[i] = static_cast<float>(kMean - reach + step * i);
      double sum = 0;
      for (float value : log_prob(arguments(z, kind, bounded)))
        sum += std::exp(static_cast<double>(value));
      EXPECT_NEAR(sum * step, 1, 1e-6);  // log p is float32
    }
}

TEST_P(PriorCurveTest, LogisticHoldsFarOutAndAtItsPeak) {
  const double sd = std::exp(static_cast<double>(kLogSd));
  for (double eps : {-1e4, -90.0, -20.0, -1e-3, 0.0, 1e-3, 0.5, 20.0, 90.0, 1e4}) {
    const std::vector<float> z(1, static_cast<float>(kMean + eps * sd));
    const PriorArgs a = arguments(z, PriorKind::logistic, false);
    const double seen = (z[0] - static_cast<double>(kMean)) / sd;
    const double want = standard_log_prob(PriorKind::logistic, seen) - kLogSd;
    // eps in float32, whose 1e4 is good to 1e-3.
    EXPECT_NEAR(log_prob(a)[0], want, 1e-6 + 2e-7 * std::abs(want)) << eps;
    const float one = 1;
    float* rows = arena_.inout(std::vector<float>(2, 0.f));
    float* dz = arena_.out<float>(1, 1);
    backend().prior_backward({.forward = a,
                              .dlog_prob = arena_.in(std::vector<float>{one}),
                              .dz = dz,
                              .dmean = rows,
                              .dlog_sd = rows + 1},
                             nullptr);
    const double pull = std::tanh(seen / 2), got = arena_.read(dz, 1)[0];
    EXPECT_NEAR(got, -pull / sd, 1e-6 * (std::abs(pull / sd) + 1e-3)) << eps;
    EXPECT_NEAR(arena_.read(rows, 2)[0], -got, 0);
    EXPECT_NEAR(arena_.read(rows, 2)[1], pull * seen - 1, 1e-6 * (1 + std::abs(seen))) << eps;
  }
}

TEST_P(PriorTest, BackwardIsTheSlope) {
  const std::vector<double> weights = {-0.5, 2, 0.25, 1};
  for (const Kind& kind : kKinds) {
    const PriorArgs a = arguments(kind);
    const std::vector<float> before = arena_.normal(rows_ * kParameterStride);
    float *dz = arena_.out<float>(kPixels * kZStride, 1), *rows = arena_.inout(before);
    backend().prior_backward(
        {.forward = a,
         .dlog_prob = arena_.in(std::vector<float>(weights.begin(), weights.end())),
         .dz = dz,
         .dmean = rows,
         .dlog_sd = rows + kChannels},
        nullptr);
    const std::vector<float> got = arena_.read(rows, rows_ * kParameterStride);
    for (std::size_t i = 0; i < got.size(); i += kind.by_label ? 1 : 17) {
      const double want = slope(a, weights, &parameters_[i]);
      const float start = kind.by_label ? before[i] : 0;
      // Up to 140 terms at float's 1e-7, of which u^2 may be 1e3.
      ASSERT_NEAR(got[i] - start, want, 1e-5 * (10 + std::abs(want))) << "parameter " << i;
    }
    const std::vector<float> got_z = arena_.read(dz, kPixels * kZStride);
    for (std::size_t i = 0; i < got_z.size(); i += 11) {
      const double want = slope(a, weights, &z_[i]);
      if (i % kZStride < kChannels) {
        ASSERT_NEAR(got_z[i], want, 1e-5 * (1 + std::abs(want)));
      }
    }
  }
}

TEST_P(PriorTest, BackwardLeavesOutWhatIsNotWanted) {
  for (const Kind& kind : kKinds) {
    const PriorArgs a = arguments(kind);
    const std::vector<float> before = arena_.normal(rows_ * kParameterStride);
    const float* dlog_prob = arena_.in(kGrid.count);
    const auto run = [&](bool mean, bool log_sd) {
      float *dz = arena_.out<float>(kPixels * kZStride, 1), *rows = arena_.inout(before, 1);
      backend().prior_backward({.forward = a,
                                .dlog_prob = dlog_prob,
                                .dz = dz,
                                .dmean = mean ? rows : nullptr,
                                .dlog_sd = log_sd ? rows + kChannels : nullptr},
                               nullptr);
      return std::pair(arena_.read(dz, kPixels * kZStride),
                       arena_.read(rows, rows_ * kParameterStride));
    };
    const auto [dz, rows] = run(true, true);
    for (const bool mean : {false, true})
      for (const bool log_sd : {false, true}) {
        const auto [some_dz, some] = run(mean, log_sd);
        EXPECT_EQ(some_dz, dz);
        for (std::size_t i = 0; i < rows.size(); ++i)
          ASSERT_EQ(some[i],
                    (i % kParameterStride < kChannels ? mean : log_sd) ? rows[i] : before[i]);
      }
    arena_.results();
  }
}

RHEO_ON_EVERY_BACKEND(PriorTest);
RHEO_ON_EVERY_BACKEND(PriorCurveTest);

struct CasePrior {
  PriorArgs args;
  std::int64_t rows;
};

CasePrior prior_case(Arena& arena, const CaseShape& shape, bool sample) {
  const bool by_label = shape.option >= 2, labels = shape.option == 3;
  const int c = shape.channels, stride = 2 * c;
  const std::int64_t rows = by_label ? 4 : shape.pixels(), eps = shape.pixels() * c;
  const float* parameters = arena.in(rows * stride, 0.5);
  std::vector<int> of_images(static_cast<std::size_t>(shape.count));
  for (std::size_t n = 0; n < of_images.size(); ++n) of_images[n] = static_cast<int>(3 - n % 3);
  const int tiles = tiles_of(shape.grid());
  const double half = 0.51;  // of z's rows are another's channels
  return {{.grid = shape.grid(),
           .channels = c,
           .z = sample ? arena.out<float>(shape.pixels() * stride, half)
                       : arena.in(shape.pixels() * stride),
           .z_stride = stride,
           .mean = parameters,
           .log_sd = parameters + c,
           .parameter_stride = stride,
           .by_label = by_label,
           .labels = labels ? arena.in(of_images) : nullptr,
           .bounded = shape.option % 2 == 1,
           .eps = sample ? arena.in(eps) : arena.out<float>(eps),
           .eps_stride = shape.grid().image_pixels() * c,
           .log_prob = {arena.out<float>(shape.count * tiles, sample ? 1 : 0), tiles},
           .kind = shape.width % 2 ? PriorKind::logistic : PriorKind::gaussian},
          rows};
}

}  // namespace

PriorArgs prior_log_prob_case(Arena& arena, const CaseShape& shape) {
  return prior_case(arena, shape, false).args;
}

PriorArgs prior_sample_case(Arena& arena, const CaseShape& shape) {
  return prior_case(arena, shape, true).args;
}

PriorBackwardArgs prior_backward_case(Arena& arena, const CaseShape& shape) {
  const CasePrior prior = prior_case(arena, shape, true);
  const PriorArgs& a = prior.args;
  const std::int64_t size = prior.rows * a.parameter_stride, values = shape.pixels() * a.z_stride;
  PriorArgs forward = a;
  forward.z = arena.in(values);
  forward.eps = nullptr;
  float* rows = a.by_label ? arena.inout(arena.normal(size)) : arena.out<float>(size);
  return {.forward = forward,
          .dlog_prob = arena.in(shape.count),
          .dz = a.z,
          .dmean = rows,
          .dlog_sd = rows + shape.channels};
}

}  // namespace rheo::test
