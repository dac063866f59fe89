#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "src/check.h"

namespace rheo {

inline void require_limit(const char* who, std::int64_t max_pixels) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  require(max_pixels >= 1 && max_pixels <= kMost, who, ": max_pixels must be 1..", kMost, "; got ",
          max_pixels);
}

/// Before anything is allocated for the pixels of an image file.
inline void require_few_pixels(std::int64_t height, std::int64_t width, std::int64_t most,
                               const std::string& path) {
  require_file(height <= most && width <= most && height * width <= most, path,
               ": an image must have at most ", most, " pixels; got ", height, "x", width,
               ": scale it down, or allow more by max_pixels (--max-pixels)");
}

}  // namespace rheo
