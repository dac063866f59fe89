#pragma once

// What PTX loads, stores and copies, and where: each access has to be aligned to all that it moves,
// and one to shared memory has to lie in one variable.

#include <cuda_pipeline_primitives.h>

#include <array>
#include <cstring>

#include "tests/ptx/machine.h"

namespace ptx {

inline u64 address_of(const void* place) {
  return reinterpret_cast<u64>(place);
}
inline unsigned char* pointer(u64 address) {
  return reinterpret_cast<unsigned char*>(address);
}

/// The place, of so many bytes.
template <class Byte>
Byte* aligned(Byte* place, std::size_t bytes,
              std::source_location at = std::source_location::current()) {
  require_aligned(place, bytes, at);
  return place;
}

// Copied, as the same bytes may be written as one type and read as another.
template <class T, class... Registers>
void load(const unsigned char* from, Registers&... to) {
  T values[sizeof...(to)], *next = values;
  std::memcpy(values, from, sizeof values);
  (put(to, *next++), ...);
}
template <class T, class... Values>
void store(unsigned char* to, Values... given) {
  const T values[] = {given...};
  std::memcpy(to, values, sizeof values);
}

/// As the PTX declares it, and where this block has it.
struct Variable {
  const char* name;
  std::size_t bytes, alignment;
  void* memory;
};
template <unsigned number>
Variable variable(const char* name, std::size_t bytes, std::size_t alignment) {
  static simt::SharedSlot slot;
  return {name, bytes, alignment, simt::shared_memory(slot, bytes, alignment)};
}
/// As large as the launch says.
Variable dynamic_variable(const char* name, std::size_t alignment);

/// A shared address has the variable's number, from 1 on, in its high bits; a generic one of shared
/// memory has a bit besides that no address of the host has.
inline constexpr u32 kOffsetBits = 20;
inline constexpr u64 kSharedWindow = u64{1} << 56;
template <u32 number>
inline constexpr u32 shared_address = (number + 1) << kOffsetBits;
constexpr u64 generic_of(u32 address) {
  return kSharedWindow | address;
}

/// A kernel's variables. What lies in none of them, or may be less aligned on a device than here,
/// ends the grid.
struct Shared {
  std::array<Variable, 8> variables;

  unsigned char* at(u32 address, std::size_t bytes,
                    std::source_location = std::source_location::current()) const;
  unsigned char* generic(u64 address, std::size_t bytes,
                         std::source_location = std::source_location::current()) const;
};

template <unsigned kRoom>
void copy_async(unsigned char* to, const unsigned char* from, u32 given,
                simt::Site site = simt::Site::current()) {
  __pipeline_memcpy_async(to, from, kRoom, kRoom - given, site);
}

}  // namespace ptx
