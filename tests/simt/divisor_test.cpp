// Quotients that kernels compute without a division.

#include "kernels/cuda/divisor.cuh"

#include <gtest/gtest.h>

namespace rheo::cuda {
namespace {

/// A quotient is wrong, if at all, next to a multiple.
void expect_quotients_near_multiples(unsigned number) {
  constexpr unsigned kMost = 0x7fffffff;
  const Divisor divisor(static_cast<int>(number));
  const unsigned last = kMost / number, step = last / 97 + 1;
  for (unsigned i = 0; i <= last; i += i + step > last && i < last ? last - i : step) {
    const unsigned multiple = i * number;
    for (const unsigned x : {multiple ? multiple - 1 : 0, multiple, multiple + (multiple < kMost)})
      ASSERT_EQ(divisor.quotient(x), x / number) << x << " / " << number;
  }
  ASSERT_EQ(divisor.quotient(kMost), kMost / number) << number;
}

TEST(DivisorTest, GivesTheQuotientsOfADivision) {
  for (unsigned number = 1; number <= 5000; ++number) expect_quotients_near_multiples(number);
  for (unsigned bits = 13; bits < 31; ++bits)
    for (const unsigned number : {(1u << bits) - 1, 1u << bits, (1u << bits) + 1, 3u << (bits - 1)})
      expect_quotients_near_multiples(number);
}

}  // namespace
}  // namespace rheo::cuda
