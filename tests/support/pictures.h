#pragma once

#include <zlib.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
// clang-format off
#include <jpeglib.h>
// clang-format on

#include <cstdint>
#include <string>
#include <vector>

#include "rheo/tensor.h"

namespace rheo::test {

/// Smooth, so that JPEG keeps it, and no two channels or images alike.
inline Pixels picture(std::int64_t height, std::int64_t width, std::int64_t channels,
                      std::int64_t number = 0) {
  Pixels image{{1, height, width, channels}, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        image.data.push_back(
            static_cast<std::uint8_t>(40 + number * 16 + 3 * y + 2 * x * (c + 1) % 180));
      }
    }
  }
  return image;
}

inline void append_number(std::vector<std::uint8_t>& bytes, std::uint64_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(number >> shift));
  }
}

inline void append_chunk(std::vector<std::uint8_t>& png, const std::string& type,
                         const std::vector<std::uint8_t>& data) {
  append_number(png, data.size());
  const std::size_t start = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), data.begin(), data.end());
  append_number(png, ::crc32(0, png.data() + start, static_cast<uInt>(png.size() - start)));
}

/// A PNG put together by hand. `rows` are filtered and not yet compressed; `before` are chunks
/// that go between header and data.
struct RawPng {
  std::uint32_t height, width;
  std::uint8_t depth, colour;
  std::vector<std::uint8_t> rows;
  std::vector<std::uint8_t> before = {};

  std::vector<std::uint8_t> bytes() const {
    std::vector<std::uint8_t> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header;
    append_number(header, width);
    append_number(header, height);
    header.insert(header.end(), {depth, colour, 0, 0, 0});
    append_chunk(png, "IHDR", header);
    png.insert(png.end(), before.begin(), before.end());
    uLongf size = ::compressBound(rows.size());
    std::vector<std::uint8_t> packed(size);
    ::compress(packed.data(), &size, rows.data(), rows.size());
    packed.resize(size);
    append_chunk(png, "IDAT", packed);
    append_chunk(png, "IEND", {});
    return png;
  }
};

inline std::vector<std::uint8_t> chunk(const std::string& type,
                                       const std::vector<std::uint8_t>& data) {
  std::vector<std::uint8_t> bytes;
  append_chunk(bytes, type, data);
  return bytes;
}

/// A JPEG of 1 (grey), 3 (RGB) or 4 (CMYK) channels.
inline std::vector<std::uint8_t> jpeg_of(const Pixels& image, bool progressive = false) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  const auto channels = static_cast<int>(image.shape[3]);
  const auto stride = static_cast<std::size_t>(image.shape[2] * image.shape[3]);
  jpeg.image_height = static_cast<JDIMENSION>(image.shape[1]);
  jpeg.image_width = static_cast<JDIMENSION>(image.shape[2]);
  jpeg.input_components = channels;
  jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 100, TRUE);
  jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.data.data()) + jpeg.next_scanline * stride;
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::vector<std::uint8_t> bytes(memory, memory + size);
  std::free(memory);
  return bytes;
}

}  // namespace rheo::test
