#pragma once

#include <cstdint>

namespace rheo {

/// A permutation of 0 .. size - 1 that is a function of (seed, epoch): a Feistel network over
/// Philox, walked until it lands inside (Black & Rogaway 2002, "Ciphers with arbitrary finite
/// domains"). So the order of training data needs no state but a position.
class Order {
 public:
  Order(std::int64_t size, std::uint64_t seed, std::int64_t epoch);

  std::int64_t operator()(std::int64_t index) const;

 private:
  std::uint64_t round(std::uint64_t value, int number) const;

  std::uint64_t size_;
  std::uint64_t seed_;
  std::int64_t epoch_;
  int half_bits_;
};

}  // namespace rheo
