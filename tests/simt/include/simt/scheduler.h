#pragma once

// What the inline code of these headers asks of the scheduler.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#include "simt/vectors.h"

// Of the thread that runs; the scheduler rewrites them whenever another one does.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace simt {

using Site = std::source_location;

/// A shared variable: each block gets memory of its own, at its first use there.
struct SharedSlot {
  std::uint64_t block;
  void* memory;
};
void* shared_memory(SharedSlot&, std::size_t bytes, std::size_t alignment);
void* dynamic_shared_memory();

/// Waits for all threads of the block; how many of them gave a predicate other than 0.
int block_barrier(int predicate, Site);

/// What the lanes of a mask do together.
enum class Exchange : std::uint8_t {
  sync,     // nothing, but orders memory
  shuffle,  // each gets the value of its source lane
  vote,     // each gets one bit a lane: whether its value is not 0
};
std::uint64_t warp_exchange(unsigned mask, Exchange, std::uint64_t value, unsigned source, Site);
unsigned lane();

/// To shared memory, of `bytes` of which the last `zeros` become zero instead.
struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes, zeros;
};
bool start_copy(const AsyncCopy&, Site);  // false: it is to land at once
void commit_copies();                     // those started belong to one group
bool next_copy(int groups, AsyncCopy&);   // to land, if all groups but the last `groups` must have

/// Ends the kernel with simt::error.
[[noreturn]] void trap(Site);

/// Runs a grid now. `shared_limit` bounds what a block's shared variables take together.
struct GridShape {
  dim3 grid, block;
  std::size_t dynamic_bytes;
  std::size_t shared_limit;
};
void run_grid(const GridShape&, const std::function<void()>& thread);

}  // namespace simt
