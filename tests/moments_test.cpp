#include "kernels/moments.h"

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

class MomentsTest : public OnBackend {
 protected:
  struct Moments {
    std::vector<double> mean, deviation;
  };

  Moments moments(const std::vector<float>& x, int channels, int stride) {
    Arena arena(backend());
    double *mean = arena.out<double>(channels), *deviation = arena.out<double>(channels);
    const auto rows = static_cast<std::int64_t>(x.size()) / stride;
    backend().moments_of_channels({arena.in(x), rows, channels, stride, mean, deviation}, nullptr);
    arena.results();
    return {arena.read(mean, channels), arena.read(deviation, channels)};
  }
};

TEST_P(MomentsTest, AreThoseOfTwoPassesWhereTheMeanIsFarFromZero) {
  constexpr int kChannels = 19, kStride = 24, kRows = 777;
  std::vector<float> x = Arena(backend()).normal(std::int64_t{kRows} * kStride, 0.01);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] += 1000.f * static_cast<float>(i % kStride);  // a variance by E[x^2] - mean^2 is lost
  const Moments got = moments(x, kChannels, kStride);
  for (std::size_t c = 0; c < kChannels; ++c) {
    long double mean = 0, deviation = 0;
    for (std::size_t r = 0; r < kRows; ++r) mean += static_cast<long double>(x[r * kStride + c]);
    mean /= kRows;
    for (std::size_t r = 0; r < kRows; ++r) {
      const long double d = static_cast<long double>(x[r * kStride + c]) - mean;
      deviation += d * d;
    }
    // The mean is good to 777 roundings in double; the deviations see its square.
    EXPECT_NEAR(got.mean[c], static_cast<double>(mean), 1e-13 * (1 + 1000.0 * c));
    EXPECT_NEAR(got.deviation[c], static_cast<double>(deviation),
                1e-8 * static_cast<double>(deviation));
  }
}

TEST_P(MomentsTest, OfOneRowAreTheRow) {
  const Moments got = moments({1.5f, -2.f, 7.f}, 3, 3);
  EXPECT_EQ(got.mean, (std::vector<double>{1.5, -2, 7}));
  EXPECT_EQ(got.deviation, (std::vector<double>{0, 0, 0}));
}

TEST_P(MomentsTest, BitsDependNotOnThreads) {
  const std::vector<float> x = Arena(backend()).normal(501 * 40);
  const Moments two = moments(x, 40, 40);
  backend().set_threads(1);
  EXPECT_EQ(moments(x, 40, 40).deviation, two.deviation);
}

RHEO_ON_EVERY_BACKEND(MomentsTest);

}  // namespace

MomentsArgs moments_of_channels_case(Arena& arena, const CaseShape& shape) {
  const int stride = shape.channels + 5 * shape.option;
  return {.x = arena.in(shape.pixels() * stride),
          .rows = shape.pixels(),
          .channels = shape.channels,
          .stride = stride,
          .mean = arena.out<double>(shape.channels),
          // A single row deviates by nothing.
          .deviation = arena.out<double>(shape.channels, shape.pixels() == 1 ? 1 : 0)};
}

}  // namespace rheo::test
