#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rheo/tensor.h"

namespace rheo {

/// Decodes a PNG to [1, H, W, C], C = 1, 3 or 4; `path` begins the messages. Damage that libpng
/// would only warn of is an error. Chunks that are not needed for the pixels are not even parsed.
/// @throws Error bad_file, also for an image of over `max_pixels`.
Pixels decode_png(const std::vector<std::uint8_t>& file, const std::string& path,
                  std::int64_t max_pixels);

/// Largest height and width that libpng writes.
inline constexpr std::int64_t kLongestPngSide = 1'000'000;

/// [1, H, W, C], sides up to kLongestPngSide; C = 1 grey, 2 grey and alpha, 3 colour, 4 colour and
/// alpha. @throws Error out_of_memory.
std::vector<std::uint8_t> encode_png(const Pixels& image);

}  // namespace rheo
