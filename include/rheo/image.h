#pragma once

#include <cstdint>
#include <string>

#include "rheo/export.h"
#include "rheo/tensor.h"

namespace rheo {

/// The uniform noise that makes pixels continuous (u in x = (q + u) / 2^b - 1/2).
struct Noise {
  bool centre = false;  ///< u = 1/2 for every value, so that pixels come back exactly.
  std::uint64_t seed =
      0;  ///< Else u depends on the seed, the image's index and the value's position.

  static Noise at_centre() { return {true, 0}; }
  static Noise uniform(std::uint64_t seed) { return {false, seed}; }
};

/// Pixels [N, H, W, C] to x in [-1/2, 1/2), keeping the upper `n_bits` of each value. Image i draws
/// the noise of index `first + i`, whatever batch it comes in.
/// @throws Error invalid_argument unless images are [N, H, W, C] and n_bits is 1..8.
RHEO_API Tensor dequantize(const Pixels& images, int n_bits, const Noise& noise,
                           std::int64_t first = 0);

/// x to pixels, clamped to 0..255. @throws Error diverged where a value is not finite, naming it.
RHEO_API Pixels quantize(const Tensor& x, int n_bits);

/// -log2 p per value, of pixels rather than of x: (-log_prob + D b ln 2) / (D ln 2).
RHEO_API double bits_per_dim(double log_prob, std::int64_t dims, int n_bits);

/// All images on one sheet [1, H', W', C], row by row, two pixels of white between them.
/// @throws Error invalid_argument unless images are [N >= 1, H, W, C] and columns >= 1.
RHEO_API Pixels image_grid(const Pixels& images, int columns);

/// Of one image file, unless said otherwise: a small file could ask for gigabytes.
inline constexpr std::int64_t kMaxPixels = 1 << 24;

/// One PNG or JPEG file as [1, H, W, C], C = 1 (grey), 3 or 4 (with alpha), as the file has it;
/// palettes become colours, 16 bits become 8, CMYK becomes RGB.
/// @throws Error bad_file for a missing or damaged file, or an image of more pixels.
RHEO_API Pixels read_image(const std::string& path, std::int64_t max_pixels = kMaxPixels);

/// Writes [1, H, W, C], C = 1..4, as a PNG, under a temporary name and then renamed.
/// @throws Error invalid_argument for another shape; io where the file cannot be written.
RHEO_API void write_png(const std::string& path, const Pixels& image);

}  // namespace rheo
