#pragma once

#include <cstddef>

namespace simt {

/// A stack that can be left and come back to. The main program's is one too, without `low`, which
/// AddressSanitizer tells when it is left.
struct Fibre {
  void* stack_pointer;  // while another one runs
  const void* low;
  std::size_t size;
  void* fake_stack;  // AddressSanitizer's, while another one runs
  void* tsan;        // ThreadSanitizer's thread
  Fibre* next;       // the next one that is free
};

/// Makes the next jump to `fibre` enter `entry`, which must not return and must call arrive()
/// first. Whatever lay on its stack is forgotten.
void prepare(Fibre& fibre, void (*entry)());

void jump(Fibre& from, Fibre& to);
void arrive();

}  // namespace simt
