// Barriers and warps.

#include <bit>

#include "block.h"
#include "sanitizers.h"

namespace simt {
namespace {

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         __builtin_strcmp(a.file_name(), b.file_name()) == 0;
}

Thread& self_in_kernel() {
  if (!block.kernel) fail("called outside of a kernel");
  return block.thread[block.self];
}

void exchange(int first, unsigned lanes, Exchange kind) {
  std::uint64_t votes = 0, values[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    values[lane] = lanes >> lane & 1 ? block.thread[first + lane].value : ~std::uint64_t{};
    if (lanes >> lane & 1 && values[lane] != 0) votes |= std::uint64_t{1} << lane;
  }
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    Thread& t = block.thread[first + std::countr_zero(rest)];
    // A source that takes no part gives what the device leaves undefined: all ones, NaN as a float.
    if (kind == Exchange::shuffle)
      t.value = t.source < kLanes ? values[t.source] : ~std::uint64_t{};
    if (kind == Exchange::vote) t.value = votes;
  }
}

// Each lane is ordered after all: the one that came last collects and hands out.
void order_lanes(int first, unsigned lanes) {
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    tsan_acquire(&block.lane_arrives[block.colour][first + std::countr_zero(rest)]);
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    tsan_release(&block.lane_leaves[block.colour][first + std::countr_zero(rest)]);
}

}  // namespace

unsigned lane() {
  self_in_kernel();
  return static_cast<unsigned>(block.self) % kLanes;
}

int block_barrier(int predicate, Site site) {
  self_in_kernel().predicate = predicate != 0;
  char* edge = &block.barrier_edge[block.colour][block.barriers & 1];
  tsan_release(edge);
  ++block.at_barrier;
  park(State::at_barrier, site);
  tsan_acquire(edge);
  return block.counted;
}

void settle_barrier() {
  if (block.at_barrier == 0 || block.at_barrier != block.live) return;
  if (block.live != block.threads)
    fail_with_table("a barrier that threads have returned without coming to");
  block.counted = 0;
  for (int t = 0; t < block.threads; ++t) {
    if (!same_place(block.thread[t].site, block.thread[0].site))
      fail_with_table("a divergent barrier: its threads are at different places");
    block.counted += block.thread[t].predicate;
  }
  block.at_barrier = 0;
  ++block.barriers;
  for (int t = 0; t < block.threads; ++t) wake(t);
}

std::uint64_t warp_exchange(unsigned mask, Exchange kind, std::uint64_t value, unsigned source,
                            Site site) {
  Thread& self = self_in_kernel();
  const unsigned bit = 1u << (block.self % kLanes);
  if (!(mask & bit))
    fail("%s:%u: lane %d is not in its own mask %#x, in %s", site.file_name(), site.line(),
         block.self % kLanes, mask, site.function_name());
  self.exchange = kind;
  self.mask = mask;
  self.value = value;
  self.source = source;
  block.waiting[block.self / kLanes] |= bit;
  const int me = block.self;
  if (kind == Exchange::sync) tsan_release(&block.lane_arrives[block.colour][me]);
  park(State::at_warp, site);
  if (kind == Exchange::sync) tsan_acquire(&block.lane_leaves[block.colour][me]);
  return self.value;
}

void settle_warp(int thread) {
  const int warp = thread / kLanes, first = warp * kLanes;
  const unsigned gone = block.existing[warp] & ~block.alive[warp];
  for (unsigned rest = block.waiting[warp]; rest != 0; rest &= rest - 1) {
    if (block.thread[first + std::countr_zero(rest)].mask & gone)
      fail_with_table("a warp's mask that names lanes which have returned");
  }
  if (block.thread[thread].state != State::at_warp) return;

  const Thread& last = block.thread[thread];
  const unsigned lanes = last.mask & block.existing[warp];  // the last warp may be short
  if (lanes & ~block.waiting[warp]) return;
  bool alike = true;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const Thread& t = block.thread[first + std::countr_zero(rest)];
    if (t.mask != last.mask) return;  // it waits for others first
    alike &= t.exchange == last.exchange && same_place(t.site, last.site);
  }
  if (!alike) fail_with_table("lanes of one mask at different warp functions");
  exchange(first, lanes, last.exchange);
  if (last.exchange == Exchange::sync) order_lanes(first, lanes);
  block.waiting[warp] &= ~lanes;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) wake(first + std::countr_zero(rest));
}

}  // namespace simt
