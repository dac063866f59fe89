#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/prior.h"
#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

class NoiseTest : public OnBackend {
 protected:
  std::vector<float> noise(std::int64_t count, std::int64_t dims, std::int64_t first,
                           float temperature = 1, std::uint64_t seed = 3) {
    Arena arena(backend());
    float* eps = arena.out<float>(count * dims);
    backend().prior_noise({eps, count, dims, first, seed, temperature}, nullptr);
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

RHEO_ON_EVERY_BACKEND(NoiseTest);

}  // namespace

NoiseArgs prior_noise_case(Arena& arena, const CaseShape& shape) {
  const std::int64_t dims = shape.grid().image_pixels() * shape.channels - shape.option;
  return {arena.out<float>(shape.count * dims), shape.count, dims, 1000, 9, 0.7f};
}

}  // namespace rheo::test
