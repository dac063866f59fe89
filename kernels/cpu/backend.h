#pragma once

// The CPU backend's memory, and its variants for each instruction set.

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/backend.h"

namespace rheo::cpu {

void* allocate(std::size_t bytes);
void release(void* memory);
std::size_t free_bytes();
void copy(void* to, const void* from, std::size_t bytes, Stream);
void clear(void* memory, std::size_t bytes, Stream);
int set_threads(int threads);
bool has_bf16();

/// Work from which on a loop is shared with other threads, in multiplications of a product. Where
/// threads sleep it is some 20 to 90 us of one (docs/decisions.md). rheo_tests and its like set it
/// to 0, so that their small cases have threads too.
extern std::int64_t least_shared_work;

/// What decides the bits of a result: the variant, and where oneDNN's products run on more or less
/// (AMX; ONEDNN_MAX_CPU_ISA), on what: "avx512", "avx512 with amx products".
std::string described(const char* variant);

#define RHEO_CPU_VARIANT(isa)   \
  namespace isa {               \
  extern const Backend backend; \
  }
#include "kernels/cpu/variants.def"
#undef RHEO_CPU_VARIANT

/// Every variant that this machine can run, narrowest first; returns how many.
constexpr int kMaxVariants = 3;
int variants(const Backend* (&found)[kMaxVariants]);

}  // namespace rheo::cpu
