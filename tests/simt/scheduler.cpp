// Runs grids: blocks one after another, a block's threads by strict priority, each until it waits.

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <numeric>
#include <string>
#include <utility>

#include "block.h"
#include "order.h"
#include "report.h"
#include "sanitizers.h"
#include "shared_memory.h"
#include "simt/control.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

constinit Block block{};
constinit Fibre main_fibre{};

namespace {

constexpr int kWordBits = 64;
constexpr int kNobody = -1;

struct Runnable {
  std::uint64_t words[kMaxThreads / kWordBits];
  std::uint64_t filled;  // a bit for each word that is not zero

  void add(int thread) {
    words[thread / kWordBits] |= std::uint64_t{1} << thread % kWordBits;
    filled |= std::uint64_t{1} << thread / kWordBits;
  }
  void remove(int thread) {
    std::uint64_t& word = words[thread / kWordBits];
    word &= ~(std::uint64_t{1} << thread % kWordBits);
    if (word == 0) filled &= ~(std::uint64_t{1} << thread / kWordBits);
  }
};

constinit Runnable runnable{};
constinit Fibre pool[2 * kMaxThreads]{};
int pooled;         // fibres made so far, where threads share them
Fibre* free_fibre;  // a list
Fibre* running;
bool failed;

int chosen_bit(std::uint64_t word) {
  std::uint32_t skip = choose(static_cast<std::uint32_t>(std::popcount(word)));
  for (; skip > 0; --skip) word &= word - 1;
  return std::countr_zero(word);
}

int pick() {
  if (failed || runnable.filled == 0) return kNobody;
  const int word = chosen_bit(runnable.filled);
  return word * kWordBits + chosen_bit(runnable.words[word]);
}

void become(int thread) {
  runnable.remove(thread);
  block.self = thread;
  threadIdx = block.thread[thread].index;
}

void run_threads();

// To ThreadSanitizer a stack belongs to one thread for good; otherwise any stack will do.
Fibre& fibre_for(int thread) {
  if (under_tsan()) {
    Fibre& own = pool[block.colour * kMaxThreads + thread];
    if (!own.tsan) {
      // A new thread is after the one that makes it: main, lest it be after a thread of its grid.
      tsan_as(main_fibre.tsan, [&] { own.tsan = __tsan_create_fiber(0); });
      prepare(own, run_threads);
    }
    return own;
  }
  if (!free_fibre) {
    free_fibre = &pool[pooled++];
    prepare(*free_fibre, run_threads);
  }
  return *std::exchange(free_fibre, free_fibre->next);
}

void give_back(Fibre& fibre) {
  if (under_tsan()) return;
  fibre.next = free_fibre;
  free_fibre = &fibre;
}

void go_to(Fibre& to) {
  Fibre& from = *std::exchange(running, &to);
  jump(from, to);
}

[[noreturn]] void stop() {
  failed = true;
  go_to(main_fibre);
  __builtin_unreachable();
}

/// Runs whoever is next, until it is the caller's turn again; of a fibre whose thread is done,
/// until it has another one.
void leave(bool parked) {
  const int next = pick();
  Fibre& mine = *running;
  if (next == kNobody) {
    if (!parked) give_back(mine);
    go_to(main_fibre);
    return;
  }
  become(next);
  Thread& t = block.thread[next];
  if (t.state == State::fresh) {
    if (!parked && !under_tsan()) return;  // on the caller's stack
    t.fibre = &fibre_for(next);
  }
  if (t.fibre == &mine) return;
  if (!parked) give_back(mine);
  go_to(*t.fibre);
}

// An exception's message has to be copied, and the exception gone, before the stack is abandoned.
bool threw() {
  try {
    (*block.kernel)();
    return false;
  } catch (const std::exception& e) {
    std::snprintf(message, sizeof message, "an exception left the kernel: %s", e.what());
  } catch (...) {
    std::snprintf(message, sizeof message, "an exception left the kernel");
  }
  return true;
}

void finish_thread() {
  const int me = block.self;
  tsan_release(&block.end_edge);
  block.thread[me].state = State::done;
  block.alive[me / kLanes] &= ~(1u << me % kLanes);
  --block.live;
  settle_warp(me);
  settle_barrier();
}

void run_threads() {
  arrive();
  for (;;) {
    Thread& me = block.thread[block.self];
    me.state = State::ready;
    me.fibre = running;
    tsan_acquire(&block.main_edge);
    if (threw()) stop();
    if (copies_pending()) fail("a thread returned without waiting for its asynchronous copies");
    finish_thread();
    leave(false);
  }
}

// Abandons every stack. Main must be after all that their threads did, or the test that frees the
// memory they used would race with them.
void reset_after_failure() {
  for (Fibre& fibre : pool) {
    if (!fibre.low) continue;
    if (fibre.tsan) {
      tsan_as(fibre.tsan, [] { tsan_release(&block.end_edge); });
      __tsan_destroy_fiber(std::exchange(fibre.tsan, nullptr));
    }
    prepare(fibre, run_threads);
  }
  tsan_acquire(&block.end_edge);
  free_fibre = nullptr;
  for (int i = 0; i < pooled; ++i) give_back(pool[i]);
  runnable = {};
  failed = false;
}

void start_block(const GridShape& shape, std::uint64_t index) {
  const std::uint64_t row = index / shape.grid.x;
  blockIdx = {static_cast<unsigned>(index % shape.grid.x),
              static_cast<unsigned>(row % shape.grid.y), static_cast<unsigned>(row / shape.grid.y)};
  ++block.serial;
  block.colour = static_cast<int>(block.serial & 1);
  block.live = block.threads;
  block.at_barrier = 0;
  block.static_bytes = 0;
  for (int t = 0; t < block.threads; ++t) {
    block.thread[t].state = State::fresh;
    runnable.add(t);
    if (t % kLanes == 0) block.existing[t / kLanes] = 0;
    block.existing[t / kLanes] |= 1u << t % kLanes;
  }
  block.alive = block.existing;
  block.waiting = {};
}

void run_block(const GridShape& shape, std::uint64_t index) {
  start_block(shape, index);
  become(pick());
  Thread& first = block.thread[block.self];
  first.fibre = &fibre_for(block.self);
  go_to(*first.fibre);
  running = &main_fibre;
  if (!failed && block.live > 0) {
    failed = true;
    describe_threads("a deadlock: nobody can go on");
  }
  if (!failed) return;
  reset_after_failure();
  throw error(std::string("simt: ") + message + "\n  in block (" + std::to_string(blockIdx.x) +
              ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + "), order " +
              order_in_words());
}

void index_threads(dim3 shape) {
  block.threads = static_cast<int>(shape.x * shape.y * shape.z);
  unsigned t = 0;
  for (unsigned z = 0; z < shape.z; ++z)
    for (unsigned y = 0; y < shape.y; ++y)
      for (unsigned x = 0; x < shape.x; ++x) block.thread[t++].index = {x, y, z};
}

struct Grid {
  Grid(const GridShape& shape, const std::function<void()>& kernel) {
    block.kernel = &kernel;
    block.shape = &shape;
    gridDim = shape.grid;
    blockDim = shape.block;
    index_threads(shape.block);
    running = &main_fibre;
    if (under_tsan()) main_fibre.tsan = __tsan_get_current_fiber();
    tsan_release(&block.main_edge);
  }
  ~Grid() {
    tsan_acquire(&block.end_edge);
    free_shared_memory();
    block.kernel = nullptr;
  }
  Grid(const Grid&) = delete;
  Grid& operator=(const Grid&) = delete;
};

}  // namespace

void park(State state, Site site) {
  const int me = block.self;
  block.thread[me].state = state;
  block.thread[me].site = site;
  if (state == State::at_barrier)
    settle_barrier();
  else
    settle_warp(me);
  leave(true);
}

void wake(int thread) {
  block.thread[thread].state = State::ready;
  runnable.add(thread);
}

void fail(const char* format, ...) {
  std::va_list values;
  va_start(values, format);
  describe(format, values);
  va_end(values);
  if (!block.kernel) throw error(std::string("simt: ") + message);
  stop();
}

void fail_with_table(const char* what) {
  describe_threads(what);
  stop();
}

void trap(Site site) {
  fail("%s:%u: __trap in %s", site.file_name(), site.line(), site.function_name());
}

void run_grid(const GridShape& shape, const std::function<void()>& thread) {
  if (block.kernel) throw error("simt: a kernel cannot start another one");
  const Grid grid(shape, thread);
  const std::uint64_t count = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  // From any block on in steps that reach all: 1, -1, or at random one without a common divisor.
  const std::uint64_t first = choose(static_cast<std::uint32_t>(count));
  std::uint64_t step = count < 2 ? 1 : 1 + choose(static_cast<std::uint32_t>(count - 1));
  while (std::gcd(step, count) != 1) ++step;
  for (std::uint64_t i = 0; i < count; ++i) {
    run_block(shape, (first + i * step) % count);
    // Blocks of one grid share no memory: to ThreadSanitizer either, which sees them side by side.
    if (!under_tsan()) free_shared_memory();
  }
}

}  // namespace simt
