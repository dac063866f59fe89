// Copies to shared memory that a thread has started and not waited for.

#include <cstdint>

#include "block.h"
#include "queue.h"

namespace simt {
namespace {

constexpr int kMost = 512;  // under way at a time; a GPU has no such limit

struct Started {
  AsyncCopy copy;
  int group;
};

struct Queue {
  std::uint64_t serial;  // of the block
  int first, end;        // of those not waited for
  int group;             // that the next copy belongs to
  Started started[kMost];
};

constinit Queue queues[kMaxThreads]{};

Queue& mine() {
  Queue& queue = queues[block.self];
  if (queue.serial != block.serial) {
    queue.serial = block.serial;
    queue.first = queue.end = queue.group = 0;
  }
  return queue;
}

bool misaligned(const void* address, unsigned bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes != 0;
}

}  // namespace

bool start_copy(const AsyncCopy& copy, Site site) {
  if (!block.kernel) fail("an asynchronous copy outside of a kernel");
  const char* wrong = nullptr;
  if (copy.bytes != 4 && copy.bytes != 8 && copy.bytes != 16)
    wrong = "of other than 4, 8 or 16 bytes";
  else if (copy.zeros > copy.bytes)
    wrong = "with more zeros than bytes";
  else if (misaligned(copy.to, copy.bytes) || misaligned(copy.from, copy.bytes))
    wrong = "that is not aligned to its size";
  if (wrong)
    fail("%s:%u: an asynchronous copy %s in %s", site.file_name(), site.line(), wrong,
         site.function_name());
  if (eager()) return false;
  Queue& queue = mine();
  if (queue.first == queue.end) queue.first = queue.end = 0;
  if (queue.end == kMost) fail("the emulator keeps %d asynchronous copies a thread", kMost);
  queue.started[queue.end++] = {copy, queue.group};
  return true;
}

void commit_copies() {
  ++mine().group;
}

bool next_copy(int groups, AsyncCopy& copy) {
  Queue& queue = mine();
  if (queue.first == queue.end || queue.started[queue.first].group >= queue.group - groups)
    return false;
  copy = queue.started[queue.first++].copy;
  return true;
}

bool copies_pending() {
  const Queue& queue = mine();
  return queue.first != queue.end;
}

}  // namespace simt
