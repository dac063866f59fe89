#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rheo/tensor.h"

namespace rheo {

/// Decodes a JPEG to [1, H, W, C], C = 1 or 3; CMYK and YCCK become RGB; `path` begins the
/// messages. Damage that libjpeg would only warn of is an error.
/// @throws Error bad_file, also for an image of over `max_pixels`.
Pixels decode_jpeg(const std::vector<std::uint8_t>& file, const std::string& path,
                   std::int64_t max_pixels);

}  // namespace rheo
