#include "kernels/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/step.h"

namespace rheo::test {
namespace {

/// |got - want| in units of want's last place in float32.
double ulps(float got, double want) {
  int exponent;
  std::frexp(want, &exponent);  // want = m 2^exponent, m in [1/2, 1)
  const double ulp = std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::abs(static_cast<double>(got) - want) / ulp;
}

TEST(MathTest, ExponentialIsGoodToTwoUlpUnlessTiny) {
  double worst = 0;
  for (int i = 0; i <= 4'000'000; ++i) {
    const float x = -87.f * static_cast<float>(i) / 4'000'000.f;
    worst = std::max(worst, ulps(math::exp_of_negative(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LE(worst, 2);
}

TEST(MathTest, ExponentialStaysWhereNoSumSeesIt) {
  const float least = math::exp_of_negative(-87.f);
  for (float x : {-88.f, -1000.f, -3e38f, -std::numeric_limits<float>::infinity()})
    EXPECT_EQ(math::exp_of_negative(x), least);
  EXPECT_EQ(math::exp_of_negative(0.f), 1.f);
  EXPECT_EQ(math::exp_of_negative(-0.f), 1.f);
}

TEST(MathTest, ExponentialWithin87IsGoodToTwoUlp) {
  double worst = 0;
  for (int i = -2'000'000; i <= 2'000'000; ++i) {
    const float x = 87.f * static_cast<float>(i) / 2'000'000.f;
    worst = std::max(worst, ulps(math::exp_within_87(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LE(worst, 2);
  for (float x : {88.f, 1e30f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(math::exp_within_87(x), math::exp_within_87(87.f));
    EXPECT_EQ(math::exp_within_87(-x), math::exp_within_87(-87.f));
  }
  EXPECT_TRUE(std::isnan(math::exp_within_87(std::nanf(""))));
}

TEST(MathTest, TanhIsGoodToThreeUlp) {
  double worst = 0;
  const auto compare = [&](float x) {
    worst = std::max(worst, ulps(math::tanh(x), std::tanh(static_cast<double>(x))));
    EXPECT_EQ(math::tanh(-x), -math::tanh(x));
  };
  for (int i = 0; i <= 2'000'000; ++i) compare(10.f * static_cast<float>(i) / 2'000'000.f);
  for (double x = 1; x > 1e-37; x *= 0.9997) compare(static_cast<float>(x));
  EXPECT_LE(worst, 3);
  for (float x : {20.f, 1e10f, 1e30f, std::numeric_limits<float>::infinity()})
    EXPECT_EQ(math::tanh(x), 1.f);
  EXPECT_TRUE(std::isnan(math::tanh(std::nanf(""))));
}

TEST(MathTest, LogarithmIsGoodToTwoUlp) {
  double worst = 0;
  for (int i = 0; i <= 2'000'000; ++i) {
    const float e = static_cast<float>(i) / 2'000'000.f;
    worst = std::max(worst, ulps(math::log1p_of_unit(e), std::log1p(static_cast<double>(e))));
  }
  for (double e = 1; e > 1e-37; e *= 0.9997)  // evenly over the magnitudes, too
    worst = std::max(worst, ulps(math::log1p_of_unit(static_cast<float>(e)),
                                 std::log1p(static_cast<double>(static_cast<float>(e)))));
  EXPECT_LE(worst, 2);
  EXPECT_EQ(math::log1p_of_unit(0.f), 0.f);
}

// Every turn that 24 random bits can make.
TEST(MathTest, SineAndCosineAreGoodToTwoUlpOfOne) {
  double worst = 0;
  for (int k = 0; k < 1 << 24; ++k) {
    const float turns = static_cast<float>(k) * (1.f / 16777216.f);
    const double angle = 2 * std::acos(-1.0) * static_cast<double>(turns);
    const math::SinCos got = math::sin_cos_of_turns(turns);
    worst = std::max(worst, std::abs(static_cast<double>(got.sin) - std::sin(angle)));
    worst = std::max(worst, std::abs(static_cast<double>(got.cos) - std::cos(angle)));
  }
  EXPECT_LE(worst, 2 * std::ldexp(1.0, -24));
}

// Both come of e = exp(-|u|) to 2 ulp and three roundings; log s near zero has e's relative error.
TEST(MathTest, SigmoidScaleIsAccurateOverItsRange) {
  for (int i = -40'000; i <= 30'000; ++i) {
    const float raw = static_cast<float>(i) / 1000.f;
    const double u = static_cast<double>(raw + 2.f);
    const math::CouplingScale s = math::sigmoid2_scale(raw);
    const double log = u > 0 ? -std::log1p(std::exp(-u)) : u - std::log1p(std::exp(u));
    ASSERT_NEAR(s.value, std::exp(log), 1e-6 * std::exp(log)) << raw;
    ASSERT_NEAR(s.log, log, 1e-6 * std::abs(log)) << raw;
    ASSERT_NEAR(s.slope, 1 / (1 + std::exp(u)), 1e-6 / (1 + std::exp(u))) << raw;
  }
}

TEST(MathTest, BoundedScaleStaysBetweenItsBounds) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (float raw : {-infinity, -1000.f, -1.f, 0.f, 0.5f, 1000.f, infinity}) {
    const math::CouplingScale s = math::bounded_scale(raw);
    const double log = 4 / std::acos(-1.0) * std::atan(static_cast<double>(raw));
    EXPECT_NEAR(s.log, log, 1e-6);
    EXPECT_NEAR(s.value, std::exp(log), 1e-5);
    EXPECT_GE(s.slope, 0);
  }
  EXPECT_NEAR(math::bounded_scale(0.f).slope, 4 / std::acos(-1.0), 1e-6);
}

}  // namespace
}  // namespace rheo::test
