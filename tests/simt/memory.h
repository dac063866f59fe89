#pragma once

#include <cstddef>

namespace simt {

enum class Place { device, pinned, pageable, outside };

/// Where memory is; `outside` if it begins in an allocation and ends past it.
Place place_of(const void* memory, std::size_t bytes);

/// Lets AddressSanitizer allow what only the device may touch.
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
  DeviceMemoryOpen(const DeviceMemoryOpen&) = delete;
  DeviceMemoryOpen& operator=(const DeviceMemoryOpen&) = delete;
};

}  // namespace simt
