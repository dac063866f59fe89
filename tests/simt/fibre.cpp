#include "fibre.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#include "sanitizers.h"

#ifndef __x86_64__
#error "simt: switching stacks is written for x86-64 only"
#endif

// Saves what a callee must keep, and goes on where `to` was saved.
extern "C" void simt_switch(void** save, void* to);
asm(R"(
    .text
    .globl simt_switch
    .hidden simt_switch
    .type simt_switch, @function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size simt_switch, .-simt_switch
)");

namespace simt {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::size_t kGuardBytes = 1024 * 1024;  // faults, even at the far end of a large frame

Fibre* left;  // by the last jump

void make_stack(Fibre& fibre) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  char* const low = static_cast<char*>(memory) + kGuardBytes;
  if (mprotect(low, kStackBytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  fibre.low = low;
  fibre.size = kStackBytes;
}

}  // namespace

void prepare(Fibre& fibre, void (*entry)()) {
  if (!fibre.low) make_stack(fibre);
  asan_allow(fibre.low, fibre.size);
  fibre.fake_stack = nullptr;
  // Six registers, where to return to, and a zero that ends walks up the stack. The address after
  // the return is 8 modulo 16, as behind any call.
  void* frame[8] = {};
  frame[6] = reinterpret_cast<void*>(entry);
  char* top = static_cast<char*>(const_cast<void*>(fibre.low)) + fibre.size;
  fibre.stack_pointer = std::memcpy(top - sizeof frame, frame, sizeof frame);
}

void jump(Fibre& from, Fibre& to) {
  left = &from;
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.low, to.size);
  tsan_become(to.tsan);
  simt_switch(&from.stack_pointer, to.stack_pointer);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(from.fake_stack, &left->low, &left->size);
}

void arrive() {
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(nullptr, &left->low, &left->size);
}

}  // namespace simt
