#pragma once

// Kernels that translate.py made, by the names that nvcc gave them.

#include <cstddef>
#include <source_location>
#include <vector>

namespace ptx {

struct Parameter {
  std::size_t offset, bytes;
};

/// Each kernel is one such object, which lists itself when the program starts.
struct Kernel {
  using Body = void (*)(const unsigned char* parameters);
  Kernel(const char* name, Body, std::vector<Parameter>, std::size_t parameter_bytes,
         unsigned most_threads);

  const char* name;
  Body body;
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes;
  unsigned most_threads;  // a block, by __launch_bounds__
};

/// Null where no kernel has this name.
const Kernel* find(const char* name);

/// End the grid with simt::error.
[[noreturn]] void trap(std::source_location = std::source_location::current());
void require_aligned(const void*, std::size_t bytes,
                     std::source_location = std::source_location::current());

}  // namespace ptx
