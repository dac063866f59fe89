#pragma once

// Elementary functions in plain float arithmetic: the same on host and device, and simple enough
// for a compiler to vectorise without fast-math.

#include <cstdint>
#include <cstring>

#include "kernels/hd.h"

namespace rheo::math {

/// e^x for x of -87 to 88, to 2 ulp.
RHEO_HD float exp_in_range(float x) {
  const float shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the integer is in the low bits
  const float n = shifted - 12582912.f;
  float r = x - n * 0.693359375f;  // ln 2 in two parts; the first times n is exact
  r = r + n * 2.12194440e-4f;
  float p = 1.f / 5040.f;  // Taylor: |r| <= ln(2) / 2, so the next term is below 6e-9
  p = p * r + 1.f / 720.f;
  p = p * r + 1.f / 120.f;
  p = p * r + 1.f / 24.f;
  p = p * r + 1.f / 6.f;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  std::int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;  // only the low bits survive the shift: 2^n
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

/// e^x for x <= 0, to 2 ulp; at and below -87 it stays at e^-87, which no sum with 1 can see.
RHEO_HD float exp_of_negative(float x) {
  return exp_in_range(x < -87.f ? -87.f : x);
}

RHEO_HD float within_87(float x) {
  x = x < -87.f ? -87.f : x;
  return x > 87.f ? 87.f : x;
}

/// e^x, to 2 ulp, and as for -87 and 87 beyond them: neither 0 nor infinite, so that one can divide
/// by it.
RHEO_HD float exp_within_87(float x) {
  return exp_in_range(within_87(x));
}

/// log(1 + e) for e in [0, 1], to 2 ulp: twice the artanh of e / (2 + e), which is at most 1/3.
RHEO_HD float log1p_of_unit(float e) {
  const float t = e / (2.f + e);
  const float t2 = t * t;
  float p = 1.f / 15.f;
  p = p * t2 + 1.f / 13.f;
  p = p * t2 + 1.f / 11.f;
  p = p * t2 + 1.f / 9.f;
  p = p * t2 + 1.f / 7.f;
  p = p * t2 + 1.f / 5.f;
  p = p * t2 + 1.f / 3.f;
  return 2.f * (t + t * t2 * p);
}

/// tanh(x), to 3 ulp. Near 0, where 1 - e^-2|x| cancels, a continued fraction of five terms, whose
/// error is below 3e-9 there; either way one division.
RHEO_HD float tanh(float x) {
  const float a = x < 0 ? -x : x, a2 = a * a;
  const float e = exp_of_negative(-2.f * a);
  const bool near_zero = a < 0.7f;
  const float above = near_zero ? a * (945.f + a2 * (105.f + a2)) : 1.f - e;
  const float below = near_zero ? 945.f + a2 * (420.f + a2 * 15.f) : 1.f + e;
  const float t = above / below;
  return x < 0 ? -t : t;
}

struct SinCos {
  float sin;
  float cos;
};

/// Of 2 pi `turns` for turns in [0, 1), to 2 ulp of 1: Taylor series on an eighth to either side of
/// the nearest quarter, whose distance from a 24-bit `turns` is exact.
RHEO_HD SinCos sin_cos_of_turns(float turns) {
  const int quarter = static_cast<int>(turns * 4.f + 0.5f);
  const float x = (turns * 4.f - static_cast<float>(quarter)) * 1.57079633f;
  const float x2 = x * x;
  float s = 1.f / 362880.f;
  s = s * x2 - 1.f / 5040.f;
  s = s * x2 + 1.f / 120.f;
  s = s * x2 - 1.f / 6.f;
  s = x + x * x2 * s;
  float c = -1.f / 3628800.f;
  c = c * x2 + 1.f / 40320.f;
  c = c * x2 - 1.f / 720.f;
  c = c * x2 + 1.f / 24.f;
  c = c * x2 - 0.5f;
  c = 1.f + x2 * c;
  const float sine = quarter % 2 ? c : s, cosine = quarter % 2 ? s : c;
  return {quarter & 2 ? -sine : sine, (quarter + 1) & 2 ? -cosine : cosine};
}

}  // namespace rheo::math
