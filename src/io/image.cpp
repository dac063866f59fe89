#include "rheo/image.h"

#include <algorithm>
#include <cstddef>

#include "src/check.h"
#include "src/io/file.h"
#include "src/io/image_limits.h"
#include "src/io/jpeg.h"
#include "src/io/png.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr int kGap = 2;  // pixels between the images of a sheet
constexpr std::uint8_t kWhite = 255;

bool starts_with(const std::vector<std::uint8_t>& file, const std::vector<std::uint8_t>& magic) {
  return file.size() >= magic.size() && std::equal(magic.begin(), magic.end(), file.begin());
}

void require_images(const char* who, const Pixels& images) {
  const Shape& shape = images.shape;
  const bool sized = shape.size() == 4 &&
                     std::all_of(shape.begin(), shape.end(), [](auto dim) { return dim >= 1; });
  require(sized, who, ": images must be [N, H, W, C], each at least 1; got ", to_string(shape));
  const auto bytes = byte_count(shape, 1);
  require(bytes && *bytes == images.data.size(), who, ": data must fill the shape ",
          to_string(shape), "; got ", images.data.size(), " bytes");
}

Pixels sheet_of(const Pixels& images, int columns) {
  require_images("image_grid", images);
  require(columns >= 1, "image_grid: columns must be at least 1; got ", columns);
  const std::int64_t count = images.shape[0], height = images.shape[1], width = images.shape[2],
                     channels = images.shape[3];
  const std::int64_t across = std::min<std::int64_t>(columns, count);
  const std::int64_t down = (count + across - 1) / across;
  Pixels sheet{{1, down * (height + kGap) - kGap, across * (width + kGap) - kGap, channels}, {}};
  sheet.data.assign(static_cast<std::size_t>(sheet.shape[1] * sheet.shape[2] * channels), kWhite);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = i / across * (height + kGap), left = i % across * (width + kGap);
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* row = images.data.data() + (i * height + y) * width * channels;
      std::copy(row, row + width * channels,
                sheet.data.data() + ((top + y) * sheet.shape[2] + left) * channels);
    }
  }
  return sheet;
}

Pixels decoded(const std::string& path, std::int64_t max_pixels) {
  require_limit("read_image", max_pixels);
  const std::vector<std::uint8_t> file = read_file(path);
  if (starts_with(file, {0x89, 'P', 'N', 'G'})) return decode_png(file, path, max_pixels);
  if (starts_with(file, {0xff, 0xd8, 0xff})) return decode_jpeg(file, path, max_pixels);
  fail(Errc::bad_file, path, ": must be a PNG or JPEG file; ",
       file.empty() ? "it is empty" : "it begins as neither");
}

void write_encoded(const std::string& path, const Pixels& image) {
  require_images("write_png", image);
  require(image.shape[0] == 1 && image.shape[3] <= 4,
          "write_png: image must be [1, H, W, C], C = 1 to 4; got ", to_string(image.shape));
  require(image.shape[1] <= kLongestPngSide && image.shape[2] <= kLongestPngSide,
          "write_png: sides must be at most ", kLongestPngSide, "; got ", to_string(image.shape));
  const std::vector<std::uint8_t> file = encode_png(image);
  write_file(path, file.data(), file.size());
}

}  // namespace

Pixels image_grid(const Pixels& images, int columns) {
  return guarded("image_grid", [&] { return sheet_of(images, columns); });
}

Pixels read_image(const std::string& path, std::int64_t max_pixels) {
  return guarded(path.c_str(), [&] { return decoded(path, max_pixels); });
}

void write_png(const std::string& path, const Pixels& image) {
  guarded("write_png", [&] { write_encoded(path, image); });
}

}  // namespace rheo
