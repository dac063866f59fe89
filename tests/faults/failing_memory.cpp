#include "tests/faults/failing_memory.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <mutex>

// The C library's own, by the names that it exports for this.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace rheo::test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr int kDepth = 40;

std::atomic<bool> on = false, reached = false;
std::atomic<std::int64_t> count = 0, blocks = 0;
Failing order;
std::mutex mutex;
void* trace[kDepth];
int trace_size = 0;
thread_local bool inside = false;  // of what is here, which may allocate too

enum class Owner { ours, onednn, libgomp };

bool is_of(const Dl_info& info, const char* library) {
  return info.dli_fname && std::strstr(info.dli_fname, library);
}

/// Whose code asks: that of `caller`, or what called it where that is the C++ library.
Owner owner_of(const void* caller, void* const* frames, int size) {
  int i = 0;
  while (i < size && frames[i] != caller) ++i;
  for (; i < size; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0 || is_of(info, "libstdc++") || is_of(info, "libc.so"))
      continue;
    if (is_of(info, "libgomp")) return Owner::libgomp;
    return is_of(info, "libdnnl") ? Owner::onednn : Owner::ours;
  }
  return Owner::ours;
}

/// Whether an allocation of so many bytes is to fail.
bool fails(std::size_t bytes, const void* caller) {
  if (!on || inside) return false;
  inside = true;
  void* frames[kDepth];
  const int size = backtrace(frames, kDepth);
  const Owner owner = owner_of(caller, frames, size);
  bool failing = false;
  if (owner == Owner::ours || (owner == Owner::onednn && order.of_others)) {
    const std::int64_t number = ++count;
    failing = number == order.at ||
              (order.lasting && order.at > 0 && number > order.at && bytes >= kPage);
    if (number == order.at) {
      const std::lock_guard lock(mutex);
      std::memcpy(trace, frames, sizeof trace);
      trace_size = size;
      reached = true;
    }
  }
  inside = false;
  if (failing) errno = ENOMEM;
  return failing;
}

void* counted(void* block) {
  if (block) ++blocks;
  return block;
}

}  // namespace

std::int64_t held_blocks() {
  return blocks;
}

FailingMemory::FailingMemory(const Failing& failing) {
  void* frames[1];
  backtrace(frames, 1);  // loads what it needs the first time
  order = failing, count = 0, reached = false, on = true;
}
FailingMemory::~FailingMemory() {
  on = false;
}
bool FailingMemory::failed() const {
  return reached;
}

std::string who_failed() {
  const std::lock_guard lock(mutex);
  std::string text;
  for (int i = 2; i < trace_size; ++i) {
    Dl_info info;
    if (dladdr(trace[i], &info) == 0) continue;
    const char* file = info.dli_fname ? std::strrchr(info.dli_fname, '/') : nullptr;
    char place[64];  // for addr2line, where there is no name
    std::snprintf(place, sizeof place, "%#tx",
                  static_cast<char*>(trace[i]) - static_cast<char*>(info.dli_fbase));
    text += std::string("\n  ") + (info.dli_sname ? info.dli_sname : place);
    text += file ? std::string(" of ") + (file + 1) : "";
  }
  return text;
}

}  // namespace rheo::test

extern "C" {

using rheo::test::counted;
using rheo::test::fails;

void* malloc(std::size_t bytes) {
  return fails(bytes, __builtin_return_address(0)) ? nullptr : counted(__libc_malloc(bytes));
}
void* calloc(std::size_t n, std::size_t bytes) {
  return fails(n * bytes, __builtin_return_address(0)) ? nullptr : counted(__libc_calloc(n, bytes));
}
void* realloc(void* block, std::size_t bytes) {
  if (fails(bytes, __builtin_return_address(0))) return nullptr;
  void* moved = __libc_realloc(block, bytes);
  if (block == nullptr && moved) ++rheo::test::blocks;
  if (block != nullptr && bytes == 0) --rheo::test::blocks;
  return moved;
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  return fails(bytes, __builtin_return_address(0)) ? nullptr
                                                   : counted(__libc_memalign(alignment, bytes));
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails(bytes, __builtin_return_address(0)) ? nullptr
                                                   : counted(__libc_memalign(alignment, bytes));
}
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  if (fails(bytes, __builtin_return_address(0))) return ENOMEM;
  *block = counted(__libc_memalign(alignment, bytes));
  return *block ? 0 : ENOMEM;
}
void free(void* block) {
  if (block) --rheo::test::blocks;
  __libc_free(block);
}

void* mmap(void* where, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  const bool anonymous = (flags & MAP_ANONYMOUS) != 0;
  if (anonymous && fails(bytes, __builtin_return_address(0))) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, where, bytes, protection, flags, file, offset));
}

}  // extern "C"
