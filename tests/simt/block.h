#pragma once

// The block that runs: what the scheduler and the collectives share. All of it is fixed arrays in
// one constant-initialised object: allocating from a thread of a kernel would look like that
// thread's doing to ThreadSanitizer.

#include <array>
#include <cstdint>
#include <functional>

#include "fibre.h"
#include "simt/scheduler.h"

namespace simt {

constexpr int kMaxThreads = 1024, kLanes = 32, kMaxWarps = kMaxThreads / kLanes;

/// Of shared memory: what variables may take, what a kernel may use unasked, and at most.
constexpr std::size_t kStaticShared = 48 * 1024, kMaxShared = 99 * 1024;

enum class State : std::uint8_t { fresh, ready, at_barrier, at_warp, done };

struct Thread {
  State state;
  Exchange exchange;
  bool predicate;
  unsigned mask;
  unsigned source;      // lane, of a shuffle
  std::uint64_t value;  // given; then what came of it
  Site site;            // where it waits
  uint3 index;
  Fibre* fibre;
};

struct Block {
  const std::function<void()>* kernel;  // null: none runs
  const GridShape* shape;
  std::size_t static_bytes;  // of shared variables so far
  std::uint64_t serial;      // of all blocks ever run
  int threads;
  int live;
  int at_barrier;
  int counted;  // predicates that held at the last barrier
  int barriers;
  int colour;  // alternates between blocks
  int self;
  std::array<Thread, kMaxThreads> thread;
  std::array<unsigned, kMaxWarps> existing, alive, waiting;  // lanes

  // What ThreadSanitizer is told about, by address. A barrier's edge alternates, or a fast thread's
  // next release would reach slow threads that only now leave the last one. Threads of blocks of
  // two colours are different threads to it, so that neighbouring blocks stay unordered.
  char main_edge, end_edge, barrier_edge[2][2];
  char lane_arrives[2][kMaxThreads], lane_leaves[2][kMaxThreads];
};
extern Block block;
extern Fibre main_fibre;

/// Lets others run until somebody wakes the calling thread.
void park(State, Site);
void wake(int thread);

/// Called when a thread has come to wait, or has returned: lets go who need wait no longer.
void settle_barrier();
void settle_warp(int thread);

/// Whether the calling thread has started copies that it did not wait for.
bool copies_pending();

/// Ends the grid: the caller's stack is abandoned, so nothing on it may own anything.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

/// The same, and says where every thread of the block is.
[[noreturn]] void fail_with_table(const char* what);

}  // namespace simt
