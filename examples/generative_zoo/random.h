#pragma once

#include <cstdint>
#include <vector>

namespace zoo {

using Values = std::vector<float>;

/// The library's random numbers: a stream that depends on its seed alone.
class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_(seed) {}

  Values uniform(std::int64_t count);  ///< In (0, 1].
  Values normal(std::int64_t count);
  std::vector<std::int64_t> indices(std::int64_t count, std::int64_t below);

  /// `count` rows of a table [rows, width], drawn with replacement.
  Values rows_of(const Values& table, int width, std::int64_t count);

  /// 1 with each of these probabilities, else 0.
  Values bernoulli(const Values& probabilities);

 private:
  std::uint64_t seed_;
  std::int64_t calls_ = 0;
};

}  // namespace zoo
