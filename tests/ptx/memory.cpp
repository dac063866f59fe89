#include "tests/ptx/memory.h"

#include "tests/simt/block.h"

namespace ptx {

void require_aligned(const void* address, std::size_t bytes, std::source_location place) {
  if (address_of(address) % bytes != 0)
    simt::fail("%s:%u: %zu bytes at %p, which are not aligned, in %s", place.file_name(),
               place.line(), bytes, address, place.function_name());
}

Variable dynamic_variable(const char* name, std::size_t alignment) {
  return {name, simt::block.shape->dynamic_bytes, alignment, simt::dynamic_shared_memory()};
}

unsigned char* Shared::at(u32 address, std::size_t bytes, std::source_location place) const {
  const u32 number = (address >> kOffsetBits) - 1, offset = address % (1u << kOffsetBits);
  if (number >= variables.size() || !variables[number].memory)
    simt::fail("%s:%u: %zu bytes at the shared address 0x%x, where no variable is, in %s",
               place.file_name(), place.line(), bytes, address, place.function_name());
  const Variable& one = variables[number];
  const char* const wrong = offset + bytes > one.bytes                          ? "beyond its end"
                            : offset % bytes != 0 || one.alignment % bytes != 0 ? "not aligned"
                                                                                : nullptr;
  if (wrong)
    simt::fail("%s:%u: %zu bytes at %u of %s (%zu bytes, aligned to %zu), %s, in %s",
               place.file_name(), place.line(), bytes, offset, one.name, one.bytes, one.alignment,
               wrong, place.function_name());
  return static_cast<unsigned char*>(one.memory) + offset;
}

unsigned char* Shared::generic(u64 address, std::size_t bytes, std::source_location place) const {
  return address & kSharedWindow ? at(static_cast<u32>(address), bytes, place)
                                 : aligned(pointer(address), bytes, place);
}

}  // namespace ptx
