#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/prior.h"
#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

class NoiseTest : public OnBackend {
 protected:
  std::vector<float> noise(std::int64_t count, std::int64_t dims, std::int64_t first,
                           float temperature = 1, std::uint64_t seed = 3,
                           PriorKind kind = PriorKind::gaussian) {
    Arena arena(backend());
    float* eps = arena.out<float>(count * dims);
    backend().prior_noise({eps, count, dims, first, seed, temperature, kind}, nullptr);
    arena.results();
    return arena.read(eps, count * dims);
  }
};

TEST_P(NoiseTest, HasTheMomentsOfANormal) {
  constexpr double kDraws = 1'000'000;
  double mean = 0, variance = 0, fourth = 0;
  const std::vector<float> eps = noise(10, 100'000, 0);
  for (float x : eps) mean += x / kDraws;
  for (float x : eps) variance += (x - mean) * (x - mean) / kDraws;
  for (float x : eps) fourth += std::pow(x - mean, 4) / kDraws;
  EXPECT_NEAR(mean, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(variance, 1, 5 * std::sqrt(2 / kDraws));
  EXPECT_NEAR(fourth / (variance * variance), 3, 5 * std::sqrt(24 / kDraws));
  double next = 0;  // correlation of neighbours: pairs come of one draw of the generator
  for (std::size_t i = 0; i + 1 < eps.size(); ++i) next += eps[i] * eps[i + 1] / kDraws;
  EXPECT_NEAR(next, 0, 5 / std::sqrt(kDraws));
}

TEST_P(NoiseTest, OfAnImageDependsOnSeedAndIndexAlone) {
  const std::vector<float> five = noise(5, 30, 10);
  const std::vector<float> one = noise(1, 30, 13);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), five.begin() + 90));
  EXPECT_NE(one, noise(1, 30, 14));
  EXPECT_NE(one, noise(1, 30, 13, 1, 4));
  const std::vector<float> shorter = noise(1, 7, 13);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), one.begin()));
}

TEST_P(NoiseTest, IsScaledByTheTemperature) {
  const std::vector<float> warm = noise(2, 30, 0), cool = noise(2, 30, 0, 0.25f);
  for (std::size_t i = 0; i < warm.size(); ++i) EXPECT_EQ(cool[i], 0.25f * warm[i]);
  for (float value : noise(2, 30, 0, 0)) EXPECT_EQ(value, 0);
}

TEST_P(NoiseTest, LogisticHasTheQuantilesOfALogistic) {
  constexpr double kDraws = 1'000'000;
  const std::vector<float> eps = noise(10, 100'000, 0, 0.5f, 3, PriorKind::logistic);
  for (double p : {1e-4, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1 - 1e-4}) {
    const double quantile = 0.5 * std::log(p / (1 - p));
    double below = 0;
    for (float x : eps) below += x < quantile;
    EXPECT_NEAR(below / kDraws, p, 5 * std::sqrt(p * (1 - p) / kDraws)) << quantile;
  }
  double next = 0;  // correlation of neighbours, in variances of the logistic of scale 1/2
  for (std::size_t i = 0; i + 1 < eps.size(); ++i)
    next += eps[i] * eps[i + 1] / kDraws / (std::numbers::pi * std::numbers::pi / 12);
  EXPECT_NEAR(next, 0, 5 / std::sqrt(kDraws));
}

TEST_P(NoiseTest, LogisticIsMadeOfAWordEach) {
  const std::vector<float> eps = noise(2, 30, 7, 1, 3, PriorKind::logistic);
  for (std::size_t i = 0; i < eps.size(); ++i) {
    const auto image = static_cast<std::int64_t>(i / 30), at = static_cast<std::int64_t>(i % 30);
    const auto words = math::random_block(3, Purpose::latents, 7 + image, at / 4);
    const double u = (words[static_cast<std::size_t>(at % 4)] + 0.5) / 4294967296.0;
    const double want = std::log(u) - std::log1p(-u);
    // Two roundings of u and of its logarithm, of which the larger decides.
    ASSERT_NEAR(eps[i], want, 3e-7 * (1 + std::abs(want)));
  }
}

RHEO_ON_EVERY_BACKEND(NoiseTest);

TEST(LogisticDraw, IsOddAndFinite) {
  EXPECT_NEAR(math::logistic(0), -33 * std::numbers::ln2, 1e-5);
  for (std::uint32_t bits : {0u, 1u, 12345u, 1u << 23, (1u << 31) - 1, 0xffffff7fu, 0xffffffffu})
    EXPECT_EQ(math::logistic(bits), -math::logistic(~bits)) << bits;
  EXPECT_NEAR(math::logistic(1u << 31), 0, 1e-7);
}

}  // namespace

NoiseArgs prior_noise_case(Arena& arena, const CaseShape& shape) {
  const std::int64_t dims = shape.grid().image_pixels() * shape.channels - shape.option;
  const PriorKind kind = shape.width % 2 ? PriorKind::logistic : PriorKind::gaussian;
  return {arena.out<float>(shape.count * dims), shape.count, dims, 1000, 9, 0.7f, kind};
}

}  // namespace rheo::test
