#pragma once

// The words of CUDA C++: qualifiers, shared memory, barriers.

#include <cstddef>
#include <type_traits>

#include "simt/scheduler.h"

#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __grid_constant__
// Left empty it would make each thread an array of its own, without a word.
#define __shared__ write_RHEO_SHARED_instead_of_a_bare_shared_qualifier

// A heap block of exactly its size for each variable and block, so that AddressSanitizer guards it,
// filled with 0xFF: NaN as a float, -1 as an int.
#define RHEO_SHARED(T, name, ...)                                                     \
  using simt_type_of_##name = T __VA_ARGS__;                                          \
  static_assert(std::is_trivially_default_constructible_v<simt_type_of_##name>);      \
  static simt::SharedSlot simt_slot_of_##name;                                        \
  simt_type_of_##name& name = *static_cast<simt_type_of_##name*>(simt::shared_memory( \
      simt_slot_of_##name, sizeof(simt_type_of_##name), alignof(simt_type_of_##name)))
#define RHEO_DYNAMIC_SHARED(T, name)                                               \
  static_assert(std::is_trivially_default_constructible_v<T> && alignof(T) <= 16); \
  T* const name = static_cast<T*>(simt::dynamic_shared_memory())

inline constexpr int warpSize = 32;

inline void __syncthreads(simt::Site site = simt::Site::current()) {
  simt::block_barrier(0, site);
}
inline int __syncthreads_count(int predicate, simt::Site site = simt::Site::current()) {
  return simt::block_barrier(predicate != 0, site);
}
inline int __syncthreads_or(int predicate, simt::Site site = simt::Site::current()) {
  return simt::block_barrier(predicate != 0, site) != 0;
}
inline int __syncthreads_and(int predicate, simt::Site site = simt::Site::current()) {
  return simt::block_barrier(predicate == 0, site) == 0;
}

// One thread runs at a time and atomics order as well as count: nothing is left for a fence to do.
inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}

[[noreturn]] inline void __trap(simt::Site site = simt::Site::current()) {
  simt::trap(site);
}
