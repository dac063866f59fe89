#include "rheo/toy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/support/files.h"

namespace rheo::test {
namespace {

constexpr std::int64_t kCount = 20000;

struct Point {
  double x, y;
};

std::vector<Point> points_of(Toy kind, std::optional<double> noise = {}, std::uint64_t seed = 1) {
  const Tensor points = toy_points(kind, kCount, seed, noise);
  EXPECT_EQ(points.shape, (Shape{kCount, 2}));
  std::vector<Point> all;
  for (std::int64_t i = 0; i < kCount; ++i)
    all.push_back({points.data[2 * i], points.data[2 * i + 1]});
  return all;
}

// Of curves that are computed in double and stored as floats of a few units.
constexpr double kRounding = 1e-6;

/// A share of `count` points that is `p` in the mean lies within five deviations of it.
void expect_share(std::int64_t hits, double p, std::int64_t count = kCount) {
  const double n = static_cast<double>(count);
  EXPECT_NEAR(static_cast<double>(hits) / n, p, 5 * std::sqrt(p * (1 - p) / n));
}

/// The moon that a point lies on: 0 the upper, 1 the lower, -1 none.
int moon_of(Point p) {
  if (std::abs(std::hypot(p.x, p.y) - 1) < kRounding && p.y > -kRounding) return 0;
  if (std::abs(std::hypot(p.x - 1, p.y - 0.5) - 1) < kRounding && p.y < 0.5 + kRounding) return 1;
  return -1;
}

TEST(ToyTest, MoonsAreTwoHalfCirclesInBalance) {
  std::int64_t upper = 0, left = 0;
  for (const Point p : points_of(Toy::moons, 0.)) {
    const int moon = moon_of(p);
    ASSERT_GE(moon, 0) << p.x << ", " << p.y;
    upper += moon == 0;
    left += p.x < (moon == 0 ? 0 : 1);
  }
  expect_share(upper, 0.5);
  expect_share(left, 0.5);  // along each moon too
}

TEST(ToyTest, NoiseIsNormalAroundTheCurve) {
  const auto clean = points_of(Toy::moons, 0.), noisy = points_of(Toy::moons);
  double sum = 0, squares = 0, most = 0;
  for (std::int64_t i = 0; i < kCount; ++i)
    for (const double e : {noisy[i].x - clean[i].x, noisy[i].y - clean[i].y})
      sum += e, squares += e * e, most = std::max(most, std::abs(e));
  const double n = 2. * kCount;
  // Of a mean and a variance of so many draws, five deviations.
  EXPECT_NEAR(sum / n, 0, 5 * 0.05 / std::sqrt(n));
  EXPECT_NEAR(squares / n / 0.0025, 1, 5 * std::sqrt(2 / n));
  EXPECT_LT(most, 0.05 * 6) << "normal draws of 24 bits end at 5.8";
}

TEST(ToyTest, CirclesHaveRadiusOneAndAHalf) {
  std::int64_t outer = 0, above = 0;
  for (const Point p : points_of(Toy::circles, 0.)) {
    const double radius = std::hypot(p.x, p.y);
    ASSERT_LT(std::min(std::abs(radius - 1), std::abs(radius - 0.5)), kRounding);
    outer += radius > 0.75, above += p.y > 0;
  }
  expect_share(outer, 0.5);
  expect_share(above, 0.5);
}

TEST(ToyTest, TheCheckerboardCoversEightSquaresEvenly) {
  std::int64_t counts[4][4] = {};
  for (const Point p : points_of(Toy::checkerboard)) {
    const int column = static_cast<int>(std::floor(p.x / 2)) + 2;
    const int row = static_cast<int>(std::floor(p.y / 2)) + 2;
    ASSERT_TRUE(column >= 0 && column < 4 && row >= 0 && row < 4) << p.x << ", " << p.y;
    ++counts[column][row];
  }
  for (int column = 0; column < 4; ++column)
    for (int row = 0; row < 4; ++row) {
      if ((column + row) % 2)
        EXPECT_EQ(counts[column][row], 0);
      else
        expect_share(counts[column][row], 1. / 8);
    }
}

TEST(ToyTest, SpiralsWindOneAndAHalfTimesAndMirrorEachOther) {
  std::int64_t inner = 0, first = 0;
  for (const Point p : points_of(Toy::spirals, 0.)) {
    // On the arm (v/2 - t cos t, w/2 + t sin t) / 3 or its mirror image, for some t and v, w <= 1.
    bool on[2] = {};
    for (int arm = 0; arm < 2; ++arm)
      for (double t = 0; t <= 3 * M_PI && !on[arm]; t += 0.005) {
        const double sign = arm == 0 ? 3 : -3;
        const double v = 2 * (sign * p.x + t * std::cos(t));
        const double w = 2 * (sign * p.y - t * std::sin(t));
        on[arm] = v > -0.06 && v < 1.06 && w > -0.06 && w < 1.06;  // of a step of t
      }
    ASSERT_TRUE(on[0] || on[1]) << p.x << ", " << p.y;
    first += on[0];
    // t = 3 pi sqrt(u): a quarter of them lie within half the radius; the jitter moves few.
    inner += std::hypot(p.x, p.y) < M_PI / 2;
  }
  EXPECT_NEAR(static_cast<double>(first) / kCount, 0.5, 0.03);  // near the middle on both
  EXPECT_NEAR(static_cast<double>(inner) / kCount, 0.25, 0.03);
}

TEST(ToyTest, EightGaussiansLieOnACircle) {
  std::int64_t counts[8] = {};
  for (const Point p : points_of(Toy::eight_gaussians, 0.)) {
    ASSERT_NEAR(std::hypot(p.x, p.y), 2 * std::sqrt(2.), kRounding);
    const double part = std::atan2(p.y, p.x) / (M_PI / 4);
    ASSERT_NEAR(part, std::round(part), kRounding);
    ++counts[(static_cast<int>(std::round(part)) + 8) % 8];
  }
  for (const std::int64_t count : counts) expect_share(count, 1. / 8);
  EXPECT_DOUBLE_EQ(usual_noise(Toy::eight_gaussians), 1 / std::sqrt(8.));
}

TEST(ToyTest, ThePinwheelHasFiveBladesThatTurnWithTheRadius) {
  std::int64_t counts[5] = {};
  double sum = 0;
  for (const Point p : points_of(Toy::pinwheel, 0.)) {
    double radius = std::hypot(p.x, p.y) / 2;
    double turned = 0;
    // 1 + 0.3 a < 0 one time in 2,300: the blade's other side.
    for (const double sign : {1., -1.}) {
      const double angle = -std::atan2(sign * p.y, sign * p.x) - std::exp(sign * radius) / 4;
      turned = angle / (2 * M_PI / 5);
      if (std::abs(turned - std::round(turned)) > 1e-4) continue;  // floats near the middle
      radius *= sign;
      break;
    }
    ASSERT_NEAR(turned, std::round(turned), 1e-4);
    ++counts[(static_cast<int>(std::round(turned)) % 5 + 5) % 5];
    sum += radius;
  }
  for (const std::int64_t count : counts) expect_share(count, 1. / 5);
  EXPECT_NEAR(sum / kCount, 1, 5 * 0.3 / std::sqrt(1. * kCount));
}

TEST(ToyTest, APointIsAFunctionOfSeedAndIndex) {
  std::set<std::vector<float>> seen;
  for (const std::string_view name : toy_names()) {
    const Toy kind = toy_from_name(name);
    const Tensor many = toy_points(kind, 1000, 7), few = toy_points(kind, 10, 7);
    EXPECT_EQ(few.data, std::vector<float>(many.data.begin(), many.data.begin() + 20)) << name;
    EXPECT_NE(few.data, toy_points(kind, 10, 8).data) << name;
    EXPECT_EQ(few.data, toy_points(kind, 10, 7, usual_noise(kind)).data) << name;
    EXPECT_NE(few.data, toy_points(kind, 10, 7, 0.5).data) << name;
    seen.insert(few.data);
  }
  EXPECT_EQ(seen.size(), 6u) << "two kinds are the same";
}

TEST(ToyTest, WrongArgumentsAreRefused) {
  expect_error(Errc::invalid_argument,
               "toy: must be moons, circles, checkerboard, spirals, eight_gaussians or pinwheel; "
               "got moon?",
               [] { toy_from_name("moon\n"); });
  expect_error(Errc::invalid_argument, "toy_points: count must be at least 1; got 0",
               [] { toy_points(Toy::moons, 0); });
  expect_error(Errc::invalid_argument, "toy_points: noise must be finite and at least 0; got -1",
               [] { toy_points(Toy::moons, 1, 0, -1.); });
  expect_error(Errc::invalid_argument, "toy_points: noise must be finite",
               [] { toy_points(Toy::moons, 1, 0, std::nan("")); });
}

TEST(StandardiseTest, GivesMeanZeroAndDeviationOneAndTellsWhatTheyWere) {
  Tensor points = {{4, 2}, {1, 10, 3, 10, 1, 30, 3, 30}};
  const Standard was = standardise(points);
  EXPECT_EQ(was.mean, (std::vector<double>{2, 20}));
  EXPECT_EQ(was.deviation, (std::vector<double>{1, 10}));
  EXPECT_EQ(points.data, (std::vector<float>{-1, -1, 1, -1, -1, 1, 1, 1}));
  Tensor test = {{1, 2}, {5, 20}};
  standardise(test, was);
  EXPECT_EQ(test.data, (std::vector<float>{3, 0}));
}

TEST(StandardiseTest, WorksOnToys) {
  Tensor moons = toy_points(Toy::moons, kCount);
  const Standard was = standardise(moons);
  EXPECT_NEAR(was.mean[0], 0.5, 0.03);   // five deviations of 0.87 / sqrt(20000)
  EXPECT_NEAR(was.mean[1], 0.25, 0.02);  // likewise of 0.5
  Tensor again = moons;
  const Standard now = standardise(again);
  for (int c = 0; c < 2; ++c) {
    // Each value was rounded to a float, and their errors cancel in the mean.
    EXPECT_NEAR(now.mean[c], 0, 1e-8);
    EXPECT_NEAR(now.deviation[c], 1, 1e-7);
  }
}

TEST(StandardiseTest, WhatCannotBeStandardisedIsRefused) {
  const auto refuse = [](const std::string& part, Tensor points) {
    expect_error(Errc::invalid_argument, part, [&] { standardise(points); });
  };
  refuse("standardise: column 1 must vary and be finite; its deviation is 0",
         {{2, 2}, {1, 5, 2, 5}});
  refuse("column 0 must vary and be finite", {{2, 1}, {NAN, 1}});
  refuse("points must be [N, D], none 0; got [4]", {{4}, {1, 2, 3, 4}});
  refuse("points must fill the shape [2, 2]; got 3 values", {{2, 2}, {1, 2, 3}});
  expect_error(Errc::invalid_argument, "must be of 2 columns; got 1 and 1", [] {
    Tensor points = {{1, 2}, {1, 2}};
    standardise(points, {{0}, {1}});
  });
}

}  // namespace
}  // namespace rheo::test
