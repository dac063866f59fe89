#pragma once

// Between the emulator's headers and the toolkit's, of which no file can include both.

#include <cstddef>
#include <cstdint>

namespace ptx {

/// cublasLtMatmulHeuristicResult_t
struct Suggestion {
  std::uint64_t algorithm[8];
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
inline constexpr std::size_t kLaunchConfigBytes = 56, kLayoutBytes = 64, kOperationBytes = 256,
                             kPreferenceBytes = 64;

struct Properties {
  const char* name;
  std::size_t memory, shared, most_shared;
  int warp, threads, major, minor, multiprocessors;
};
/// Writes a cudaDeviceProp.
void fill(void* properties, const Properties&);

}  // namespace ptx
