#pragma once

// Pixels to numbers and back (docs/model.md, "Pixels").

#include <cstdint>

#include "kernels/hd.h"
#include "kernels/random.h"

namespace rheo {

struct DequantizeArgs {
  const std::uint8_t* pixels;   // [N, D]
  float* x;                     // [N, D]
  const std::int64_t* samples;  // [N]  index of each image in its noise stream
  std::int64_t count;           // N
  std::int64_t dims;            // D
  int n_bits;                   // 1..8
  bool centre;                  // u = 1/2 in place of noise
  std::uint64_t seed;
};

struct QuantizeArgs {
  const float* x;        // [size], finite
  std::uint8_t* pixels;  // [size]
  std::int64_t size;
  int n_bits;
};

namespace math {

/// x = (q + u) / 2^b - 1/2 with u = k / 2^16: exact in float32, so a pixel never leaves its bin.
RHEO_HD float dequantize(int pixel, int n_bits, int k) {
  const int q = pixel >> (8 - n_bits);
  // A power of two's reciprocal is exact, and so is the product.
  return static_cast<float>((q << 16) + k) * (1.f / static_cast<float>(1 << (16 + n_bits))) - 0.5f;
}

RHEO_HD std::uint8_t quantize(float x, int n_bits) {
  const float bins = static_cast<float>(1 << n_bits);
  float q = (x + 0.5f) * bins;
  q = q < 0 ? 0 : q > bins - 1 ? bins - 1 : q;  // before the cast: any finite x is in range
  return static_cast<std::uint8_t>(static_cast<int>(q) << (8 - n_bits));
}

}  // namespace math
}  // namespace rheo
