#include "src/train/order.h"

#include "kernels/random.h"

namespace rheo {

Order::Order(std::int64_t size, std::uint64_t seed, std::int64_t epoch)
    : size_(static_cast<std::uint64_t>(size)), seed_(seed), epoch_(epoch), half_bits_(1) {
  while ((std::uint64_t{1} << (2 * half_bits_)) < size_) ++half_bits_;
}

std::uint64_t Order::round(std::uint64_t value, int number) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  const auto block = static_cast<std::int64_t>(value << 3 | static_cast<unsigned>(number));
  return math::random_block(seed_, Purpose::order, epoch_, block)[0] & mask;
}

std::int64_t Order::operator()(std::int64_t index) const {
  constexpr int kRounds = 6;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = value >> half_bits_, right = value & mask;
    for (int r = 0; r < kRounds; ++r) {
      const std::uint64_t next = left ^ round(right, r);
      left = right, right = next;
    }
    value = left << half_bits_ | right;
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

}  // namespace rheo
