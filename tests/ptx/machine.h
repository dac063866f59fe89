#pragma once

// What PTX instructions do (PTX ISA, chapter 9), for the C++ that translate.py makes of kernels.
// Threads and barriers are those of tests/simt; memory.h has what moves data.

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tests/ptx/kernels.h"

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using f32 = float;
using f64 = double;

// Values. A register is bits: an instruction's type says what they are, and narrower types read the
// low ones.

template <class T, class From>
constexpr T as(From x) {
  static_assert(!std::is_same_v<From, bool>);  // a predicate is no number
  if constexpr (sizeof(T) == sizeof(From))
    return std::bit_cast<T>(x);
  else {
    static_assert(std::is_integral_v<T> && std::is_integral_v<From>);
    return static_cast<T>(x);  // immediates, and the low part of an integer
  }
}
template <class Register, class T>
constexpr void put(Register& to, T x) {
  if constexpr (sizeof(Register) == sizeof(T))
    to = std::bit_cast<Register>(x);
  else {
    static_assert(std::is_integral_v<T> && std::is_integral_v<Register>);
    to = static_cast<Register>(x);  // extended by the instruction's sign
  }
}
constexpr f32 float_of(u32 bits) {
  return std::bit_cast<f32>(bits);
}
constexpr f64 double_of(u64 bits) {
  return std::bit_cast<f64>(bits);
}
constexpr u64 pack(u32 low, u32 high) {
  return u64{high} << 32 | low;
}
constexpr u32 pack(u16 low, u16 high) {
  return u32{high} << 16 | low;
}
inline void unpack(u64 x, u32& low, u32& high) {
  low = static_cast<u32>(x), high = static_cast<u32>(x >> 32);
}
inline void unpack(u32 x, u16& low, u16& high) {
  low = static_cast<u16>(x), high = static_cast<u16>(x >> 16);
}

// Integers wrap.

template <class T>
using Bits = std::make_unsigned_t<T>;

#define PTX_WRAPPING(name, sign)                                   \
  template <class T>                                               \
  T name##_(T a, T b) {                                            \
    if constexpr (std::is_floating_point_v<T>)                     \
      return a sign b;                                             \
    else                                                           \
      return static_cast<T>(u64{Bits<T>(a)} sign u64{Bits<T>(b)}); \
  }
PTX_WRAPPING(add, +)
PTX_WRAPPING(sub, -)
PTX_WRAPPING(mul, *)
#undef PTX_WRAPPING
template <class T>
T mul_lo_(T a, T b) {
  return mul_(a, b);
}
template <class T>
T mul_hi_(T a, T b) {
  static_assert(sizeof(T) == 4);
  using Wide = std::conditional_t<std::is_signed_v<T>, s64, u64>;
  return static_cast<T>(Wide{a} * Wide{b} >> 32);
}
template <class T>
T mad_lo_(T a, T b, T c) {
  return add_(mul_(a, b), c);
}
inline s32 mul_wide_(s16 a, s16 b) {
  return s32{a} * b;
}
inline u32 mul_wide_(u16 a, u16 b) {
  return u32{a} * b;
}
inline s64 mul_wide_(s32 a, s32 b) {
  return s64{a} * b;
}
inline u64 mul_wide_(u32 a, u32 b) {
  return u64{a} * b;
}
template <class T>
T neg_(T a) {
  if constexpr (std::is_floating_point_v<T>)
    return -a;
  else
    return sub_(T{0}, a);
}
// Of the least number by -1 the host's instruction would end the program.
template <class T>
T div_(T a, T b, std::source_location place = std::source_location::current()) {
  static_assert(std::is_integral_v<T>);
  if (b == 0) trap(place);
  return b == static_cast<T>(-1) && std::is_signed_v<T> ? neg_(a) : static_cast<T>(a / b);
}
template <class T>
T rem_(T a, T b, std::source_location place = std::source_location::current()) {
  if (b == 0) trap(place);
  return b == static_cast<T>(-1) && std::is_signed_v<T> ? T{0} : static_cast<T>(a % b);
}
template <class T>
T abs_(T a) {
  return a < 0 || (std::is_floating_point_v<T> && std::signbit(static_cast<f64>(a))) ? neg_(a) : a;
}
// Of a number and a NaN, the number; -0 is less than 0.
template <class T>
T min_(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b);
  else
    return b < a ? b : a;
}
template <class T>
T max_(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b);
  else
    return a < b ? b : a;
}
template <class T>
T and_(T a, T b) {
  return a & b;
}
template <class T>
T or_(T a, T b) {
  return a | b;
}
template <class T>
T xor_(T a, T b) {
  return a ^ b;
}
template <class T>
T not_(T a) {
  return static_cast<T>(~a);
}
inline bool and_pred(bool a, bool b) {
  return a && b;
}
inline bool or_pred(bool a, bool b) {
  return a || b;
}
inline bool xor_pred(bool a, bool b) {
  return a != b;
}
inline bool not_pred(bool a) {
  return !a;
}
// Shifts by the width and more leave what shifting bit by bit would.
template <class T>
T shl_(T a, u32 by) {
  return by < 8 * sizeof(T) ? static_cast<T>(Bits<T>(a) << by) : T{0};
}
template <class T>
T shr_(T a, u32 by) {
  if (by >= 8 * sizeof(T)) return a < 0 ? static_cast<T>(-1) : T{0};
  return static_cast<T>(a >> by);
}
/// Of where and how many bits, the low eight bits count.
template <class T>
T bfi_(T a, T into, T at, T count) {
  const T ones = not_(shl_(not_(T{0}), count & 0xff)), place = shl_(ones, at & 0xff);
  return (into & ~place) | (shl_(a, at & 0xff) & place);
}
inline u32 prmt_(u32 a, u32 b, u32 selector) {
  const u64 bytes = pack(a, b);
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 one = selector >> 4 * i;
    u32 byte = bytes >> 8 * (one & 7) & 0xff;
    if (one & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << 8 * i;
  }
  return result;
}

// Floats: each rounded once. The approximations are the device's to within its own error.

template <class T>
T add_rn_(T a, T b) {
  return a + b;
}
template <class T>
T mul_rn_(T a, T b) {
  return a * b;
}
template <class T>
T div_rn_(T a, T b) {
  return a / b;
}
template <class T>
T rcp_rn_(T a) {
  return 1 / a;
}
template <class T>
T sqrt_rn_(T a) {
  return std::sqrt(a);
}
template <class T>
T fma_rn_(T a, T b, T c) {
  return std::fma(a, b, c);
}
f32 fma_rm_(f32 a, f32 b, f32 c);
template <class T>
T copysign_(T sign, T a) {
  return std::copysign(a, sign);
}
template <class T>
T flushed(T a) {
  return std::fabs(a) < std::numeric_limits<T>::min() ? std::copysign(T{0}, a) : a;
}
inline f32 ex2_approx_ftz_(f32 a) {
  return flushed(std::exp2(flushed(a)));
}
inline f32 rcp_approx_ftz_(f32 a) {
  return flushed(1 / flushed(a));
}
/// The high words alone are read and written.
inline f64 rcp_approx_ftz_(f64 a) {
  const auto high = [](f64 x) {
    return std::bit_cast<f64>(std::bit_cast<u64>(flushed(x)) & ~u64{0xffffffff});
  };
  return high(1 / high(a));
}

template <class To, class T>
To cvt_plain(T x) {
  static_assert(std::is_integral_v<T> || sizeof(To) > sizeof(T));
  return static_cast<To>(x);
}
template <class To, class T>
To cvt_rn(T x) {
  return static_cast<To>(x);
}
template <class To, class T>
To cvt_sat(T x) {
  static_assert(std::is_same_v<To, T> && std::is_floating_point_v<T>);
  return x > 0 ? (x < 1 ? x : T{1}) : T{0};  // NaN is 0
}
/// Towards zero; what does not fit is the nearest that does. NaN is 0, or the highest bit alone
/// where either side has 64 bits.
template <class To, class T>
To cvt_rzi(T x) {
  if constexpr (std::is_floating_point_v<To>) {
    return std::trunc(x);
  } else {
    constexpr auto most = std::numeric_limits<To>::max(), least = std::numeric_limits<To>::min();
    constexpr bool wide = sizeof(T) == 8 || sizeof(To) == 8;
    if (std::isnan(x)) return wide ? static_cast<To>(Bits<To>{1} << (8 * sizeof(To) - 1)) : To{0};
    if (x >= static_cast<T>(most)) return most;
    return x <= static_cast<T>(least) ? least : static_cast<To>(x);
  }
}
inline u16 bf16_of(f32 x) {
  const u32 bits = std::bit_cast<u32>(x);
  if (std::isnan(x)) return 0x7fff;
  return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline f32 of_bf16(u16 x) {
  return std::bit_cast<f32>(u32{x} << 16);
}

// Of comparisons only those with a u hold where a float is NaN.
#define PTX_SETP(name, sign)                   \
  template <class T>                           \
  bool setp_##name(T a, T b) {                 \
    return a sign b;                           \
  }                                            \
  template <class T>                           \
  bool setp_##name##u(T a, T b) {              \
    return std::isunordered(a, b) || a sign b; \
  }
PTX_SETP(eq, ==)
PTX_SETP(lt, <)
PTX_SETP(le, <=)
PTX_SETP(gt, >)
PTX_SETP(ge, >=)
#undef PTX_SETP
template <class T>
bool setp_ne(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return !std::isunordered(a, b) && a != b;
  else
    return a != b;
}
template <class T>
bool setp_neu(T a, T b) {
  return a != b;
}

// Warps.

enum class Shuffle { up, down, bfly, idx };

template <class Register>
void shfl(Shuffle kind, Register& to, bool& within, u32 value, u32 lane, u32 clamp, u32 mask,
          simt::Site site = simt::Site::current()) {
  const u32 self = simt::lane(), segment = clamp >> 8 & 31, bound = clamp & 31;
  const u32 least = self & segment, most = least | (bound & ~segment);
  u32 source = self;
  if (kind == Shuffle::up) source = self - (lane & 31);
  if (kind == Shuffle::down) source = self + (lane & 31);
  if (kind == Shuffle::bfly) source = self ^ (lane & 31);
  if (kind == Shuffle::idx) source = least | (lane & 31 & ~segment);
  within =
      kind == Shuffle::up ? static_cast<s32>(source) >= static_cast<s32>(most) : source <= most;
  if (!within) source = self;
  put(to,
      static_cast<u32>(simt::warp_exchange(mask, simt::Exchange::shuffle, value, source, site)));
}
inline u32 ballot(bool predicate, u32 mask, simt::Site site = simt::Site::current()) {
  return static_cast<u32>(simt::warp_exchange(mask, simt::Exchange::vote, predicate, 0, site));
}

}  // namespace ptx
