#pragma once

// Several values in one access.

#include <cuda_runtime.h>

#include <cstdint>

namespace rheo::cuda {

/// Aligned as a whole, so that the compiler moves it by one instruction where it has up to 16
/// bytes.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Vector {
  T at[kWidth];
};

template <int kWidth, class T>
__device__ __forceinline__ Vector<T, kWidth> load(const T* from) {
  return *reinterpret_cast<const Vector<T, kWidth>*>(from);
}

template <class T, int kWidth>
__device__ __forceinline__ void store(T* to, const Vector<T, kWidth>& values) {
  *reinterpret_cast<Vector<T, kWidth>*>(to) = values;
}

/// Vector `index` from `row` on. nvcc 13.0 splits a store to `row + 4 * index` of a 64-bit index
/// into single values, but not this one.
template <class T, int kWidth>
__device__ __forceinline__ void store_at(T* row, std::int64_t index,
                                         const Vector<T, kWidth>& values) {
  reinterpret_cast<Vector<T, kWidth>*>(row)[index] = values;
}

/// Whether vectors of so many values may be moved to and from `pointer`.
template <class T>
__host__ __device__ bool aligned(const T* pointer, int width) {
  return reinterpret_cast<std::uintptr_t>(pointer) % (sizeof(T) * width) == 0;
}

}  // namespace rheo::cuda
