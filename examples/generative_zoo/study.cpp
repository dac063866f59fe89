#include "examples/generative_zoo/study.h"

#include <cmath>
#include <numbers>

#include "examples/generative_zoo/data.h"
#include "examples/generative_zoo/network.h"

namespace zoo {
namespace {

constexpr double kMiddle = 1, kNarrow = 0.6, kWide = 1.4;

double gaussian(double x, double mean, double deviation) {
  const double z = (x - mean) / deviation;
  return std::exp(-z * z / 2) / (deviation * std::sqrt(2 * std::numbers::pi));
}

/// Over the line, by the trapezoidal rule; there is nothing beyond 12 that a double would see.
double integrate(const std::function<double(double)>& f) {
  constexpr int kSteps = 6000;
  constexpr double kEnd = 12, kWidth = 2 * kEnd / kSteps;
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i) sum += f(i * kWidth - kEnd);
  return sum * kWidth;
}

double standard_normal(const Values& points, std::size_t row) {
  const double x = double(points[2 * row]), y = double(points[2 * row + 1]);
  return std::exp(-(x * x + y * y) / 2) / (2 * std::numbers::pi);
}

}  // namespace

double line_p(double x) {
  return (gaussian(x, -kMiddle, kNarrow) + gaussian(x, kMiddle, kNarrow)) / 2;
}

double line_q(double x) {
  return gaussian(x, 0, kWide);
}

Values line_p_points(std::int64_t count, Random& random) {
  Values points = random.normal(count);
  const Values side = random.uniform(count);
  for (std::size_t i = 0; i < points.size(); ++i)
    points[i] = static_cast<float>(kNarrow) * points[i] + (side[i] > 0.5f ? 1.f : -1.f);
  return points;
}

Values line_q_points(std::int64_t count, Random& random) {
  Values points = random.normal(count);
  for (float& point : points) point *= static_cast<float>(kWide);
  return points;
}

double line_divergence(const Divergence& divergence) {
  return integrate([&](double x) { return line_q(x) * divergence.f(line_p(x) / line_q(x)); });
}

double line_bound(const Divergence& divergence, const std::function<double(double)>& v) {
  return integrate([&](double x) {
    const double at = v(x);
    return line_p(x) * divergence.activation(at) - line_q(x) * divergence.conjugate(at);
  });
}

Values near_moons(double nearness, const Values& moons, std::int64_t count, Random& random) {
  Values points = random.normal(2 * count);
  const Values near = random.rows_of(moons, 2, count), chosen = random.uniform(count);
  for (std::int64_t r = 0; r < count; ++r)
    if (double(chosen[r]) <= nearness)
      points[2 * r] = near[2 * r], points[2 * r + 1] = near[2 * r + 1];
  return points;
}

std::vector<double> best_discriminator(double nearness, const Values& points) {
  std::vector<double> values = moons_log_density(points);
  for (std::size_t r = 0; r < values.size(); ++r) {
    const double p = std::exp(values[r]);
    const double q = (1 - nearness) * standard_normal(points, r) + nearness * p;
    values[r] = p / (p + q);
  }
  return values;
}

double best_value(double nearness) {
  constexpr int kSide =
      240;  // cells smaller than the moons' noise: the rule's error is below 1e-15
  constexpr double kEnd = 4.5, kWidth = 2 * kEnd / kSide;
  static const Values points = [] {
    Values middles;
    for (int i = 0; i < kSide * kSide; ++i)
      for (const int at : {i % kSide, i / kSide})
        middles.push_back(static_cast<float>((at + 0.5) * kWidth - kEnd));
    return middles;
  }();
  static const std::vector<double> log_p = moons_log_density(points);
  double sum = 0;
  for (std::size_t r = 0; r < log_p.size(); ++r) {
    const double p = std::exp(log_p[r]);
    const double q = (1 - nearness) * standard_normal(points, r) + nearness * p;
    if (p > 0) sum += p * std::log(p / (p + q));
    if (q > 0) sum += q * std::log(q / (p + q));
  }
  return sum * kWidth * kWidth;
}

}  // namespace zoo
