#pragma once

// bfloat16 as storage: the type and its conversions, which are all that kernels use of it.

#include <bit>
#include <cstdint>

#include "cuda_runtime.h"

struct alignas(2) __nv_bfloat16 {
  unsigned short bits;
};

constexpr unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) {
  return x.bits;
}
constexpr __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return {bits};
}

constexpr float __bfloat162float(__nv_bfloat16 x) {
  return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
}

/// To the nearest, ties to even; any NaN becomes 0x7fff, as on the device.
constexpr __nv_bfloat16 __float2bfloat16_rn(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
