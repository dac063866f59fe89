#pragma once

#include <cstdint>
#include <optional>

#include "rheo/tensor.h"

namespace rheo {

/// How many bytes one of deflate, as gzip and PNG have it, unpacks to at most.
inline constexpr std::uint64_t kDeflateRatio = 1032;

/// How many bytes an array takes, or nothing where 64 bits do not hold a partial product (so a
/// zero at the end excuses no overflow before it) or a dimension is negative.
inline std::optional<std::uint64_t> byte_count(const Shape& shape, std::uint64_t item_size) {
  std::uint64_t count = item_size;
  for (const std::int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(dim), &count)) return std::nullopt;
  }
  return count;
}

}  // namespace rheo
