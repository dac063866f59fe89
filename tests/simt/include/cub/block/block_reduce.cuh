#pragma once

// Stands in for CUB's header of this name: the sum or reduction of one value from each thread of a
// one-dimensional block. Like CUB's it leaves no barrier behind, so that storage used again without
// one is a bug here too, and what it returns is garbage in all threads but thread 0.

#include <cstring>

#include "cuda_runtime.h"

namespace cub {

template <class T, int kThreads>
class BlockReduce {
 public:
  struct TempStorage {
    T values[kThreads];
  };

  explicit BlockReduce(TempStorage& storage) : values_(storage.values) {}

  T Sum(T value, simt::Site site = simt::Site::current()) {
    return Reduce(
        value, [](T a, T b) { return a + b; }, site);
  }

  template <class Combine>
  T Reduce(T value, Combine combine, simt::Site site = simt::Site::current()) {
    const int thread = static_cast<int>(threadIdx.x);
    values_[thread] = value;
    for (int width = 1; width < kThreads; width *= 2) {
      __syncthreads(site);
      if (thread % (2 * width) == 0 && thread + width < kThreads)
        values_[thread] = combine(values_[thread], values_[thread + width]);
    }
    if (thread == 0) return values_[0];
    std::memset(static_cast<void*>(&value), 0xff, sizeof value);
    return value;
  }

 private:
  T* values_;
};

}  // namespace cub
