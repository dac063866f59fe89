#pragma once

#include <cstdint>
#include <string>

#include "src/check.h"

namespace rheo {

/// Of one image file: 16 Mpixel, so that a small file cannot ask for gigabytes.
inline constexpr std::int64_t kMostPixels = 1 << 24;

inline void require_few_pixels(std::int64_t height, std::int64_t width, const std::string& path) {
  require_file(height <= kMostPixels && width <= kMostPixels && height * width <= kMostPixels, path,
               ": an image must have at most ", kMostPixels, " pixels; got ", height, "x", width);
}

}  // namespace rheo
