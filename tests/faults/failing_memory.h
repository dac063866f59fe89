#pragma once

#include <cstdint>
#include <string>

// The program's malloc, calloc, realloc, aligned_alloc and posix_memalign, operator new on top of
// them, and anonymous mmap, with one of their calls failing. They stand in for the C library's in
// the program and in every library that it loads, but not inside the C library itself.

namespace rheo::test {

/// Blocks that this process has allocated and nobody has freed; what is mapped is not counted.
std::int64_t held_blocks();

/// Which allocations count and fail.
struct Failing {
  std::int64_t at = 0;     ///< From 1; 0: none fails, all are counted.
  bool of_others = false;  ///< Those that oneDNN makes inside itself count too.
  bool lasting = false;    ///< So do all later ones of at least a page.
};

/// While it lives, allocations of every thread are counted, and one of them fails. What libgomp
/// asks for does not count: it ends the process where it gets nothing.
class FailingMemory {
 public:
  explicit FailingMemory(const Failing& failing);
  ~FailingMemory();
  FailingMemory(const FailingMemory&) = delete;
  FailingMemory& operator=(const FailingMemory&) = delete;

  /// Whether it came to the one that fails.
  bool failed() const;
};

/// The library and function that asked for what failed last, for messages.
std::string who_failed();

}  // namespace rheo::test
