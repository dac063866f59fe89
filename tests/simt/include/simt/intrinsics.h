#pragma once

// Functions that the device language has built in and the host's does not.

#include <math.h>

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

// Relaxed on the device; here each also orders, so that the "last block" idiom of atomics between
// fences is no race to ThreadSanitizer. Integers only: sums of floats have a fixed order.
template <std::integral T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
}
template <std::integral T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  __atomic_compare_exchange_n(address, &compare, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  return compare;
}
template <std::integral T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return __atomic_exchange_n(address, value, __ATOMIC_ACQ_REL);
}
template <std::integral T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  T seen = __atomic_load_n(address, __ATOMIC_ACQUIRE);
  while (seen < value && !__atomic_compare_exchange_n(address, &seen, value, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return seen;
}
template <std::integral T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  T seen = __atomic_load_n(address, __ATOMIC_ACQUIRE);
  while (value < seen && !__atomic_compare_exchange_n(address, &seen, value, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return seen;
}
template <std::integral T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_or(address, value, __ATOMIC_ACQ_REL);
}

// Hints for the caches.
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}

constexpr int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
constexpr float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
constexpr unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
constexpr float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
constexpr long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
constexpr double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

constexpr int __popc(unsigned x) {
  return std::popcount(x);
}
constexpr int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
constexpr int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
constexpr unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((std::uint64_t{x} * y) >> 32);
}

inline float rsqrtf(float x) {
  return 1.f / sqrtf(x);
}
inline double rsqrt(double x) {
  return 1. / sqrt(x);
}
// One rounding each, never contracted.
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return fmaf(x, y, z);
}

template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  const std::common_type_t<A, B> x = a, y = b;
  if constexpr (std::is_floating_point_v<decltype(x)>)
    return fmin(x, y);  // of a number and a NaN, the number
  else
    return y < x ? y : x;
}
template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  const std::common_type_t<A, B> x = a, y = b;
  if constexpr (std::is_floating_point_v<decltype(x)>)
    return fmax(x, y);
  else
    return x < y ? y : x;
}
