// The oracle of the other tests, held to the golden cases and to mathematics alone.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "tests/reference/glow.h"
#include "tests/reference/jacobian.h"
#include "tests/support/golden.h"

namespace rheo::test {
namespace {

using reference::Glow;
using reference::Values;

// Both sides compute in float64 and differ by the order of sums of some thousand terms.
constexpr double kExact = 1e-11;

void expect_close(const Values& got, const Values& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i]))) << "value " << i;
}

double dot(const Values& a, const Values& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

Values normal(std::size_t size, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> draw;
  Values values(size);
  for (double& value : values) value = draw(bits);
  return values;
}

double log_normal(const Values& eps) {
  return -0.5 * (dot(eps, eps) + eps.size() * std::log(2 * std::numbers::pi));
}

/// -mean(log_prob) with the parameter `key`, or "x", moved by `distance` along `direction`.
double loss_along(const GoldenCase& golden, const std::string& key, const Values& direction,
                  double distance) {
  GoldenCase moved = golden;
  Values& values = key == "x" ? moved.x : moved.parameters.at(key);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += distance * direction[i];
  double total = 0;
  for (double log_prob : Glow(moved.config, moved.parameters).log_prob(moved.x, moved.labels))
    total += log_prob;
  return -total / moved.images;
}

Values first_image(const GoldenCase& golden) {
  return {golden.x.begin(), golden.x.begin() + golden.config.dims()};
}

std::vector<int> first_label(const GoldenCase& golden) {
  if (golden.labels.empty()) return {};
  return {golden.labels.front()};
}

TEST(ReferenceTest, GivesTheGoldenLogProbabilitiesAndLatents) {
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const GoldenCase golden = load_golden(name);
    const Glow glow(golden.config, golden.parameters);
    expect_close(glow.log_prob(golden.x, golden.labels), golden.log_prob, kExact);
    expect_close(glow.encode(golden.x, golden.labels), golden.latents, kExact);
  }
}

TEST(ReferenceTest, DecodeUndoesEncode) {
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const GoldenCase golden = load_golden(name);
    const Glow glow(golden.config, golden.parameters);
    // The inverse multiplies rounding by up to 1/s and the condition of each 1x1: 1e3 in all.
    expect_close(glow.decode(golden.latents, golden.labels), golden.x, 1e3 * kExact);
  }
}

TEST(ReferenceTest, GoldenGradientsAreTheSlopesOfTheOracle) {
  // A loss of 1e3, rounded, over 2h: 1e-6. A longer step meets ReLUs that turn within it.
  constexpr double kStep = 1e-7;
  for (const std::string& name : golden_names()) {
    const GoldenCase golden = load_golden(name);
    if (golden.config.hidden > 32) continue;  // the cost grows with its square
    unsigned seed = 0;
    for (const auto& [key, gradient] : golden.gradients) {
      const Values direction = normal(gradient.size(), ++seed);
      const double slope =
          (loss_along(golden, key, direction, kStep) - loss_along(golden, key, direction, -kStep)) /
          (2 * kStep);
      const double norm = std::sqrt(dot(gradient, gradient));
      EXPECT_NEAR(slope, dot(gradient, direction), 1e-5 * (1 + norm)) << name << " " << key;
    }
  }
}

TEST(ReferenceTest, LogProbabilityIsThatOfTheLatentsAndTheDenseJacobian) {
  for (const std::string& name : golden_names()) {
    const GoldenCase golden = load_golden(name);
    if (golden.config.dims() > 400) continue;  // the elimination grows with its cube
    SCOPED_TRACE(name);
    const Glow glow(golden.config, golden.parameters);
    const std::vector<int> label = first_label(golden);
    const auto encode = [&](const Values& x) { return glow.encode(x, label); };
    const Values x = first_image(golden);
    const double want = log_normal(encode(x)) + reference::log_abs_det_jacobian(encode, x);
    // Differences of values near 1 are good to 1e-16 / 1e-6 each; the log-det adds D of them.
    EXPECT_NEAR(glow.log_prob(x, label).front(), want, 1e-9 * golden.config.dims());
  }
}

TEST(ReferenceTest, LogProbabilityWithoutLabelsIsOfTheMeanOverClasses) {
  int seen = 0;
  for (const std::string& name : golden_names()) {
    const GoldenCase golden = load_golden(name);
    if (golden.config.classes == 0) continue;
    ++seen;
    const Glow glow(golden.config, golden.parameters);
    const Values x = first_image(golden);
    const double got = glow.log_prob(x, {}).front();
    double ratio = 0;  // of the mean of p(x | y) to what came
    for (int y = 0; y < golden.config.classes; ++y)
      ratio += std::exp(glow.log_prob(x, {y}).front() - got) / golden.config.classes;
    EXPECT_NEAR(ratio, 1, 1e-9) << name;  // a log-probability of 1e3 is good to 1e-12
  }
  EXPECT_GT(seen, 0);
}

TEST(JacobianTest, LogDetOfAKnownMatrix) {
  // Det -36; the zero in the first pivot needs the exchange of rows.
  EXPECT_NEAR(reference::log_abs_det({0, 3, 1, 4, 0, 2, 0, 0, 3}), std::log(36), 1e-14);
  EXPECT_EQ(reference::log_abs_det({1, 2, 2, 4}), -std::numeric_limits<double>::infinity());
}

TEST(JacobianTest, DifferencesGiveTheSlopes) {
  const auto f = [](const Values& x) { return Values{x[0] * x[1], std::sin(x[1])}; };
  const Values want = {2, 3, 0, std::cos(2.0)};
  expect_close(reference::jacobian(f, {3, 2}), want, 1e-9);
  EXPECT_NEAR(reference::log_abs_det_jacobian(f, {3, 2}), std::log(-2 * std::cos(2.0)), 1e-9);
}

}  // namespace
}  // namespace rheo::test
