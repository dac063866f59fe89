#pragma once

// The entrances of the sanitizer runtimes. Weak: null in a program without that sanitizer, so one
// object file of the scheduler, itself compiled without, serves them all.

#include <cstddef>

extern "C" {
#define SIMT_WEAK __attribute__((weak))
SIMT_WEAK void __sanitizer_start_switch_fiber(void** fake_stack, const void* low, std::size_t size);
SIMT_WEAK void __sanitizer_finish_switch_fiber(void* fake_stack, const void** low,
                                               std::size_t* size);
SIMT_WEAK void __asan_poison_memory_region(const volatile void*, std::size_t);
SIMT_WEAK void __asan_unpoison_memory_region(const volatile void*, std::size_t);
SIMT_WEAK void* __tsan_get_current_fiber();
SIMT_WEAK void* __tsan_create_fiber(unsigned flags);
SIMT_WEAK void __tsan_destroy_fiber(void*);
SIMT_WEAK void __tsan_switch_to_fiber(void*, unsigned flags);
SIMT_WEAK void __tsan_acquire(void*);
SIMT_WEAK void __tsan_release(void*);
#undef SIMT_WEAK
}

namespace simt {

inline bool under_tsan() {
  return __tsan_create_fiber != nullptr;
}

// Switching as such orders nothing: only what CUDA orders is an edge.
inline void tsan_become(void* fiber) {
  constexpr unsigned kNoSync = 1;
  if (under_tsan()) __tsan_switch_to_fiber(fiber, kNoSync);
}
/// Runs `f` as another of ThreadSanitizer's threads: what it makes is that one's.
template <class F>
void tsan_as(void* fiber, F f) {
  void* const self = under_tsan() ? __tsan_get_current_fiber() : nullptr;
  tsan_become(fiber);
  f();
  tsan_become(self);
}
inline void tsan_acquire(void* edge) {
  if (under_tsan()) __tsan_acquire(edge);
}
inline void tsan_release(void* edge) {
  if (under_tsan()) __tsan_release(edge);
}

inline void asan_allow(const void* memory, std::size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(memory, bytes);
}
inline void asan_forbid(const void* memory, std::size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(memory, bytes);
}

}  // namespace simt
