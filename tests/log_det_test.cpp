#include "kernels/log_det.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr int kUsed = 37, kStride = 48;

class LogDetTest : public OnBackend {
 protected:
  /// Rows of partials, NaN where none is used.
  std::vector<float> partials(std::int64_t count) {
    std::vector<float> rows = Arena(backend()).normal(count * kStride, 100);
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (i % kStride >= kUsed) rows[i] = std::numeric_limits<float>::quiet_NaN();
    return rows;
  }

  std::vector<double> sum(const std::vector<float>& rows, const std::vector<double>& constants) {
    const auto count = static_cast<std::int64_t>(rows.size()) / kStride;
    Arena arena(backend());
    double* log_prob = arena.out<double>(count);
    backend().log_det_sum({.partials = {arena.inout(rows, 1), kStride},
                           .count = count,
                           .used = kUsed,
                           .constants = arena.in(constants),
                           .constant_count = static_cast<int>(constants.size()),
                           .log_prob = log_prob},
                          nullptr);
    return arena.read(log_prob, count);
  }
};

TEST_P(LogDetTest, IsTheSumOfUsedPartialsAndConstants) {
  const std::vector<float> rows = partials(5);
  const std::vector<double> constants = {1e6, -0.25, 3.5};
  const std::vector<double> got = sum(rows, constants);
  for (std::size_t n = 0; n < 5; ++n) {
    long double want = 1e6L - 0.25L + 3.5L;
    for (int i = 0; i < kUsed; ++i) want += static_cast<long double>(rows[n * kStride + i]);
    // 40 additions in double of values below 2e6: 1e-16 of that each.
    EXPECT_NEAR(got[n], static_cast<double>(want), 1e-8);
  }
}

TEST_P(LogDetTest, IsZeroOfNothing) {
  Arena arena(backend());
  double* log_prob = arena.out<double>(2);
  backend().log_det_sum({{arena.out<float>(2), 1}, 2, 0, nullptr, 0, log_prob}, nullptr);
  EXPECT_EQ(arena.read(log_prob, 2), (std::vector<double>{0, 0}));
}

TEST_P(LogDetTest, BitsOfAnImageDependOnNeitherBatchNorThreads) {
  const std::vector<float> rows = partials(9);
  const std::vector<double> constants = {0.1, 1e-17};
  const std::vector<double> together = sum(rows, constants);
  backend().set_threads(1);
  EXPECT_EQ(sum(rows, constants), together);
  for (std::size_t n = 0; n < 9; ++n) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(n * kStride);
    EXPECT_EQ(sum({first, first + kStride}, constants)[0], together[n]);
  }
}

RHEO_ON_EVERY_BACKEND(LogDetTest);

}  // namespace

LogDetArgs log_det_sum_case(Arena& arena, const CaseShape& shape) {
  const int used = tiles_of(shape.grid()) * shape.channels, stride = used + 3 * shape.option;
  const int constants = shape.option * 5;
  return {.partials = {arena.in(shape.count * stride, 10), stride},
          .count = shape.count,
          .used = used,
          .constants = arena.in(std::vector<double>(static_cast<std::size_t>(constants), 0.3)),
          .constant_count = constants,
          .log_prob = arena.out<double>(shape.count)};
}

}  // namespace rheo::test
