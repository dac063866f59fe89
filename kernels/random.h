#pragma once

// Random numbers that are a function of (seed, purpose, sample, position), the same on every
// backend: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

#include <Random123/philox.h>

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/math.h"

namespace rheo {

/// Keeps the streams of one seed apart.
enum class Purpose : std::uint32_t {
  dequantize = 1,
  latents,
  weights,
  rotation,
  order,
  augment,
  toy
};

namespace math {

/// Four 32-bit words for block `block` of sample `sample`. The key is the seed; the purpose shares
/// the last counter word with the upper bits of nothing else, so blocks are limited to 2^32.
RHEO_HD r123::Philox4x32::ctr_type random_block(std::uint64_t seed, Purpose purpose,
                                                std::int64_t sample, std::int64_t block) {
  const auto s = static_cast<std::uint64_t>(sample);
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(s),
       static_cast<std::uint32_t>(s >> 32), static_cast<std::uint32_t>(purpose)}};
  const r123::Philox4x32::key_type key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  return r123::Philox4x32()(counter, key);
}

/// Uniform in (0, 1]: never 0, so that its logarithm is finite.
RHEO_HD float uniform(std::uint32_t bits) {
  return (static_cast<float>(bits >> 8) + 1.f) * (1.f / 16777216.f);
}

struct NormalPair {
  float first;
  float second;
};

/// Two independent N(0, 1) of two words (Box & Muller 1958).
RHEO_HD NormalPair normals(std::uint32_t a, std::uint32_t b) {
  const float radius = std::sqrt(-2.f * std::log(uniform(a)));
  const SinCos angle = sin_cos_of_turns(static_cast<float>(b >> 8) * (1.f / 16777216.f));
  return {radius * angle.cos, radius * angle.sin};
}

/// A standard logistic value of a word: log u - log(1 - u) for u = (word + 1/2) / 2^32. u and 1 - u
/// are rounded each by itself, so that neither is 0: values reach 33 log 2 = 22.9 to either side.
RHEO_HD float logistic(std::uint32_t bits) {
  constexpr float kScale = 1.f / 4294967296.f;
  const float u = (static_cast<float>(bits) + 0.5f) * kScale;
  const float rest = (static_cast<float>(~bits) + 0.5f) * kScale;
  return std::log(u) - std::log(rest);
}

}  // namespace math
}  // namespace rheo
