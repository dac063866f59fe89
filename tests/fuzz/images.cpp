#include <zlib.h>

#include <vector>

#include "rheo/image.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {
namespace {

constexpr std::int64_t kFewPixels = 1 << 16;  // a large image would only take time

void read(const std::string& path) {
  expect_result_or_refusal([&] {
    const Pixels image = read_image(path, kFewPixels);
    require(image.shape.size() == 4 && image.shape[0] == 1, "an image is [1, H, W, C]");
    const std::int64_t values = image.shape[1] * image.shape[2] * image.shape[3];
    require(static_cast<std::int64_t>(image.data.size()) == values, "pixels do not fill the shape");
    unsigned sum = 0;
    for (const std::uint8_t value : image.data) sum += value;
    require(sum <= 255u * image.data.size(), "pixels");
  });
}

std::size_t number_at(const std::vector<std::uint8_t>& file, std::size_t at) {
  return std::size_t{file[at]} << 24 | file[at + 1] << 16 | file[at + 2] << 8 | file[at + 3];
}

/// Makes every chunk's checksum right, or else all that a mutation would be is a wrong one.
void mend_checksums(std::vector<std::uint8_t>& png) {
  constexpr std::size_t kSignature = 8, kAround = 12;  // length, type and checksum
  for (std::size_t at = kSignature; at + kAround <= png.size();) {
    const std::size_t length = number_at(png, at);
    if (length > png.size() - at - kAround) return;
    const uLong sum = ::crc32(0, png.data() + at + 4, static_cast<uInt>(length + 4));
    for (int i = 0; i < 4; ++i) {
      png[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    }
    at += kAround + length;
  }
}

}  // namespace

void png(Bytes input) {
  static MemoryFile memory;
  std::vector<std::uint8_t> file(input.begin(), input.end());
  mend_checksums(file);
  read(memory.holding({file}));
}

void jpeg(Bytes input) {
  static MemoryFile memory;
  read(memory.holding({input}));
}

}  // namespace rheo::fuzz
