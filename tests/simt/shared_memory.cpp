#include "shared_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "block.h"
#include "sanitizers.h"

namespace simt {
namespace {

struct Held {
  void* memory;
  Held* next;
};
Held* held;
SharedSlot dynamic_slot;

// ThreadSanitizer takes fresh memory for written by whoever allocated it. So main allocates, and
// every thread that uses the memory is after main, which is after none of them.
void* allocate(std::size_t bytes, std::size_t alignment) {
  void* memory = nullptr;
  tsan_as(main_fibre.tsan, [&] {
    auto* const node = static_cast<Held*>(std::malloc(sizeof(Held)));
    const std::size_t aligned = std::max(alignment, sizeof(void*)),
                      room = std::max<std::size_t>(bytes, 1);
    if (!node || posix_memalign(&memory, aligned, room) != 0) return;
    std::memset(memory, 0xff, bytes);
    held = new (node) Held{memory, held};
    tsan_release(&block.main_edge);
  });
  if (!memory) fail("no host memory for %zu bytes of shared memory", bytes);
  return memory;
}

void* in_this_block(SharedSlot& slot, std::size_t bytes, std::size_t alignment) {
  if (slot.block != block.serial) slot = {block.serial, allocate(bytes, alignment)};
  tsan_acquire(&block.main_edge);
  return slot.memory;
}

}  // namespace

void* shared_memory(SharedSlot& slot, std::size_t bytes, std::size_t alignment) {
  if (!block.kernel) fail("shared memory outside of a kernel");
  if (slot.block != block.serial) {
    block.static_bytes += bytes;
    if (block.static_bytes > kStaticShared)
      fail("%zu bytes of shared variables; a block has %zu", block.static_bytes, kStaticShared);
    if (block.static_bytes + block.shape->dynamic_bytes > block.shape->shared_limit)
      fail("%zu bytes of shared variables and %zu of dynamic shared memory; a block has %zu",
           block.static_bytes, block.shape->dynamic_bytes, block.shape->shared_limit);
  }
  return in_this_block(slot, bytes, alignment);
}

void* dynamic_shared_memory() {
  if (!block.kernel) fail("shared memory outside of a kernel");
  return in_this_block(dynamic_slot, block.shape->dynamic_bytes, 16);
}

void free_shared_memory() {
  while (held) {
    Held* const last = held;
    held = last->next;
    std::free(last->memory);
    std::free(last);
  }
}

}  // namespace simt
