#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace rheo::cuda {

/// Quotients by a number that a kernel is told, without the dozens of instructions of a division;
/// by 0, of an empty image, 0.
class Divisor {
 public:
  explicit Divisor(int number) {
    while (std::int64_t{1} << bits_ < number) ++bits_;
    const std::uint64_t power = std::uint64_t{1} << (31 + bits_);
    if (number > 0) multiplier_ = static_cast<unsigned>((power + number - 1) / number);
  }

  /// Of x below 2^31. The rounding adds less than 1 / number, which does not reach the next
  /// integer.
  __device__ __forceinline__ unsigned quotient(unsigned x) const {
    return static_cast<unsigned>(std::uint64_t{2 * x} * multiplier_ >> 32) >> bits_;
  }

 private:
  unsigned multiplier_ = 0;  // 2^(31 + bits) / number, rounded up
  int bits_ = 0;             // the number is at most 2^bits
};

}  // namespace rheo::cuda
