#pragma once

// Stands in for CUDA's header of this name: copies to shared memory that are under way while the
// thread goes on. They land in the wait that guarantees them, and what they will overwrite is made
// garbage at once; with simt::Policy::eager they land at once.

#include <cstring>

#include "cuda_runtime.h"

namespace simt {

// Here, not in the scheduler: the sanitizers shall see the kernel's line.
inline void land(const AsyncCopy& copy) {
  const std::size_t given = copy.bytes - copy.zeros;
  std::memcpy(copy.to, copy.from, given);
  std::memset(static_cast<char*>(copy.to) + given, 0, copy.zeros);
}

}  // namespace simt

inline void __pipeline_memcpy_async(void* shared, const void* global, std::size_t bytes,
                                    std::size_t zeros = 0,
                                    simt::Site site = simt::Site::current()) {
  const simt::AsyncCopy copy{shared, global, static_cast<unsigned>(bytes),
                             static_cast<unsigned>(zeros)};
  if (simt::start_copy(copy, site))
    std::memset(shared, 0xff, bytes);
  else
    simt::land(copy);
}

inline void __pipeline_commit() {
  simt::commit_copies();
}

/// Waits for all groups but the last `groups`.
inline void __pipeline_wait_prior(std::size_t groups) {
  simt::AsyncCopy copy;
  while (simt::next_copy(static_cast<int>(groups), copy)) simt::land(copy);
}
