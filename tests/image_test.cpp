#include "rheo/image.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include "rheo/dataset.h"
#include "src/io/file.h"
#include "src/io/png.h"
#include "tests/support/files.h"
#include "tests/support/pictures.h"

namespace rheo::test {
namespace {

Pixels read(const Bytes& bytes) {
  const TemporaryFolder folder;
  return read_image(folder.write("x", bytes));
}

void expect_refused(const Bytes& bytes, const std::string& part) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.png", bytes);
  expect_error(Errc::bad_file, part, [&] { read_image(path); });
  expect_error(Errc::bad_file, path + ": ", [&] { read_image(path); });
}

int largest_difference(const Pixels& a, const Pixels& b) {
  EXPECT_EQ(a.shape, b.shape);
  int largest = a.shape == b.shape ? 0 : 255;
  for (std::size_t i = 0; i < std::min(a.data.size(), b.data.size()); ++i) {
    largest = std::max(largest, std::abs(a.data[i] - b.data[i]));
  }
  return largest;
}

TEST(ImageTest, PngComesBackExactly) {
  const TemporaryFolder folder;
  for (const int channels : {1, 3, 4}) {
    const Pixels image = picture(7, 13, channels);
    write_png(folder / "x.png", image);
    const Pixels back = read_image(folder / "x.png");
    EXPECT_EQ(back.shape, image.shape);
    EXPECT_EQ(back.data, image.data);
  }
  EXPECT_EQ(folder.entries(), 1);
}

TEST(ImageTest, GreyWithAlphaComesBackAsColour) {
  const TemporaryFolder folder;
  write_png(folder / "x.png", {{1, 1, 2, 2}, {10, 200, 20, 255}});
  const Pixels back = read_image(folder / "x.png");
  EXPECT_EQ(back.shape, (Shape{1, 1, 2, 4}));
  EXPECT_EQ(back.data, (Bytes{10, 10, 10, 200, 20, 20, 20, 255}));
}

TEST(ImageTest, PngOfFewOrManyBitsBecomesEight) {
  // Eight one-bit pixels, two two-bit ones padded to a byte, one of sixteen bits.
  EXPECT_EQ(read(RawPng{1, 8, 1, 0, {0, 0b10100000}}.bytes()).data,
            (Bytes{255, 0, 255, 0, 0, 0, 0, 0}));
  EXPECT_EQ(read(RawPng{1, 2, 2, 0, {0, 0b01110000}}.bytes()).data, (Bytes{85, 255}));
  // 65535 / 255 = 257 steps each; 0x01ff is 511, nearer to 2 * 257 than to 1 * 257.
  EXPECT_EQ(read(RawPng{1, 3, 16, 0, {0, 0xff, 0xff, 0x01, 0xff, 0x80, 0x80}}.bytes()).data,
            (Bytes{255, 2, 128}));
}

TEST(ImageTest, PalettesBecomeColours) {
  const Bytes palette = chunk("PLTE", {1, 2, 3, 4, 5, 6});
  const Pixels image = read(RawPng{1, 2, 8, 3, {0, 1, 0}, palette}.bytes());
  EXPECT_EQ(image.shape, (Shape{1, 1, 2, 3}));
  EXPECT_EQ(image.data, (Bytes{4, 5, 6, 1, 2, 3}));
  Bytes transparent = palette;
  append_chunk(transparent, "tRNS", {0});
  EXPECT_EQ(read(RawPng{1, 2, 8, 3, {0, 1, 0}, transparent}.bytes()).data,
            (Bytes{4, 5, 6, 255, 1, 2, 3, 0}));
}

TEST(ImageTest, DamageInAnUnneededChunkDoesNoHarm) {
  const Bytes text = chunk("iCCP", bytes_of("no profile at all"));
  EXPECT_EQ(read(RawPng{1, 1, 8, 0, {0, 9}, text}.bytes()).data, (Bytes{9}));
}

// Quality 100 without subsampling: what is left is the rounding of DCT and colours.
TEST(ImageTest, JpegComesBackNearly) {
  for (const bool progressive : {false, true}) {
    for (const int channels : {1, 3}) {
      const Pixels image = picture(16, 24, channels);
      EXPECT_LE(largest_difference(read(jpeg_of(image, progressive)), image), 4) << channels;
    }
  }
}

TEST(ImageTest, CmykBecomesRgb) {
  // libjpeg marks CMYK as Adobe's, which stores the light let through: no cyan, half magenta, all
  // yellow, a fifth black.
  Pixels image{{1, 8, 8, 4}, {}};
  for (int i = 0; i < 64; ++i) image.data.insert(image.data.end(), {255, 128, 0, 204});
  const Pixels rgb = read(jpeg_of(image));
  ASSERT_EQ(rgb.shape, (Shape{1, 8, 8, 3}));
  EXPECT_NEAR(rgb.data[0], 204, 2);
  EXPECT_NEAR(rgb.data[1], 102, 2);
  EXPECT_NEAR(rgb.data[2], 0, 2);
}

TEST(ImageTest, OtherFilesAreRefused) {
  expect_refused({}, "must be a PNG or JPEG file; it is empty");
  expect_refused(bytes_of("GIF89a"), "must be a PNG or JPEG file; it begins as neither");
  expect_refused(bytes_of("\x89PNG"), "must be a whole PNG; the file ends too early");
  expect_refused(bytes_of("\x89PNG, but no more"), "must be a whole PNG");
  expect_refused({0xff, 0xd8, 0xff}, "must be a whole JPEG");
  expect_error(Errc::bad_file, "/no/such.png: cannot be read", [] { read_image("/no/such.png"); });
}

TEST(ImageTest, BombsAreRefusedBeforeTheyAreUnpacked) {
  expect_refused(RawPng{50'000, 50'000, 8, 2, {0}}.bytes(),
                 "an image must have at most 16777216 pixels; got 50000x50000");
  expect_refused(RawPng{1, 0x7fffffff, 8, 2, {0}}.bytes(), "pixels; got 1x2147483647: scale it");
  expect_refused(RawPng{4000, 4000, 8, 2, {0}}.bytes(), "bytes cannot hold 4000x4000 pixels");
  Bytes jpeg = jpeg_of(picture(8, 8, 1));
  const Bytes start{0xff, 0xc0};
  auto frame = std::search(jpeg.begin(), jpeg.end(), start.begin(), start.end());
  ASSERT_NE(frame, jpeg.end());
  // Marker, length and precision, then height and width, two bytes each.
  std::copy_n(Bytes{0xff, 0x00, 0xff, 0x00}.begin(), 4, frame + 5);
  expect_refused(jpeg, "at most 16777216 pixels; got 65280x65280");
  std::copy_n(Bytes{0x0f, 0xa0, 0x0f, 0xa0}.begin(), 4, frame + 5);
  expect_refused(jpeg, "bytes cannot hold 4000x4000 pixels");
}

TEST(ImageTest, ThoseWhoAskForMorePixelsGetThem) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.png", encode_png(picture(4, 5, 3)));
  EXPECT_EQ(read_image(path, 20).shape, (Shape{1, 4, 5, 3}));
  const std::string part = "at most 19 pixels; got 4x5: scale it down, or allow more by max_pixels";
  expect_error(Errc::bad_file, part, [&] { read_image(path, 19); });
  DatasetOptions options;
  options.max_pixels = 19;
  expect_error(Errc::bad_file, part, [&] { Dataset::open(folder.path(), options); });
  options.max_pixels = 20;
  EXPECT_EQ(Dataset::open(folder.path(), options).size(), 1);
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{1} << 31}) {
    options.max_pixels = wrong;
    expect_error(Errc::invalid_argument, "max_pixels must be 1..2147483647; got ",
                 [&] { read_image(path, wrong); });
    expect_error(Errc::invalid_argument, "DatasetOptions: max_pixels must be 1..2147483647",
                 [&] { Dataset::open(folder.path(), options); });
  }
}

TEST(ImageTest, DamagedPngIsNamedAndExplained) {
  expect_refused(RawPng{2, 2, 8, 0, {0, 1, 2}}.bytes(), "must be a whole PNG; Not enough image");
  expect_refused(RawPng{1, 1, 8, 0, {0, 1, 0, 0, 0}}.bytes(), "must be a whole PNG; ");
  expect_refused(RawPng{1, 1, 8, 3, {0, 1}}.bytes(), "must be a whole PNG; ");  // no palette
  expect_refused(RawPng{1, 1, 7, 0, {0, 1}}.bytes(), "must be a whole PNG; ");
  Bytes checksum = RawPng{1, 1, 8, 0, {0, 1}}.bytes();
  checksum[checksum.size() - 13] ^= 1;  // of IDAT; IEND has 12 bytes
  expect_refused(checksum, "IDAT: CRC error");
}

void expect_truncations_refused(const Bytes& whole) {
  for (std::size_t part = 0; part < 16; ++part) {
    const auto length = static_cast<std::ptrdiff_t>(whole.size() * part / 16);
    const Bytes cut(whole.begin(), whole.begin() + length);
    EXPECT_TRUE(refuses([&] { read(cut); })) << part << "/16";
  }
  const Bytes short_by_one(whole.begin(), whole.end() - 1);
  EXPECT_TRUE(refuses([&] { read(short_by_one); }));
}

TEST(ImageTest, TruncationIsAlwaysRefused) {
  const Pixels image = picture(20, 30, 3);
  expect_truncations_refused(encode_png(image));
  expect_truncations_refused(jpeg_of(image));
  expect_truncations_refused(jpeg_of(image, true));
}

/// Flips a bit in each trial; returns how many files were refused.
int refused_with_flips(const Bytes& whole, unsigned seed, int trials) {
  std::mt19937 random(seed);
  int refused = 0;
  for (int trial = 0; trial < trials; ++trial) {
    Bytes damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    refused += refuses([&] { read(damaged); });
  }
  return refused;
}

TEST(ImageTest, FlippedBitsGiveAnErrorOrAnImage) {
  const Pixels image = picture(20, 30, 3);
  EXPECT_EQ(refused_with_flips(encode_png(image), 3, 300), 300) << "checksums cover a PNG";
  EXPECT_GT(refused_with_flips(jpeg_of(image), 4, 300), 20) << "a JPEG has few checks";
  EXPECT_GT(refused_with_flips(jpeg_of(image, true), 5, 300), 20);
}

TEST(ImageTest, TheGridHasWhiteBetweenImages) {
  const Pixels images{{3, 1, 2, 1}, {1, 2, 3, 4, 5, 6}};
  const Pixels sheet = image_grid(images, 2);
  EXPECT_EQ(sheet.shape, (Shape{1, 4, 6, 1}));
  EXPECT_EQ(sheet.data, (Bytes{1,   2,   255, 255, 3,   4,    //
                               255, 255, 255, 255, 255, 255,  //
                               255, 255, 255, 255, 255, 255,  //
                               5,   6,   255, 255, 255, 255}));
}

TEST(ImageTest, ASheetIsNoWiderThanItsImages) {
  const Pixels image = picture(3, 4, 3);
  EXPECT_EQ(image_grid(image, 10).shape, image.shape);
  EXPECT_EQ(image_grid(image, 10).data, image.data);
}

TEST(ImageTest, WrongShapesAreRefused) {
  const auto refuse = [](const std::string& part, const auto& act) {
    expect_error(Errc::invalid_argument, part, act);
  };
  refuse("image_grid: images must be [N, H, W, C], each at least 1; got [2, 3]", [] {
    image_grid({{2, 3}, Bytes(6)}, 1);
  });
  refuse("got [0, 1, 1, 1]", [] { image_grid({{0, 1, 1, 1}, {}}, 1); });
  refuse("image_grid: data must fill the shape [1, 2, 2, 1]; got 3 bytes", [] {
    image_grid({{1, 2, 2, 1}, Bytes(3)}, 1);
  });
  refuse("image_grid: columns must be at least 1; got 0", [] { image_grid(picture(1, 1, 1), 0); });
  refuse("write_png: image must be [1, H, W, C], C = 1 to 4; got [2, 1, 1, 1]", [] {
    write_png("/tmp/x", {{2, 1, 1, 1}, Bytes(2)});
  });
  refuse("write_png: image must be [1, H, W, C], C = 1 to 4; got [1, 1, 1, 5]", [] {
    write_png("/tmp/x", {{1, 1, 1, 5}, Bytes(5)});
  });
  refuse("write_png: sides must be at most 1000000", [] {
    write_png("/tmp/x", {{1, 1, 1'000'001, 1}, Bytes(1'000'001)});
  });
}

#ifndef __SANITIZE_ADDRESS__  // which needs the address space for itself

/// Leaves this process two blocks of `spare` bytes at most, and then exits: with 0 after an Error
/// out_of_memory, else with another code.
template <class Act>
[[noreturn]] void exit_short_of_memory(std::int64_t spare, const Act& act) {
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto bytes = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + 2 * spare);
  const rlimit limit{bytes, bytes};
  if (pages == 0 || ::setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(1);
  // What tests before this one have freed, malloc may still have.
  void* last = nullptr;
  while (void* block = std::malloc(static_cast<std::size_t>(spare))) last = block;
  std::free(last);
  try {
    act();
    std::_Exit(2);
  } catch (const Error& error) {
    std::_Exit(error.code() == Errc::out_of_memory ? 0 : 3);
  } catch (...) {
    std::_Exit(4);
  }
}

TEST(ImageTest, AShortageOfMemoryIsAnError) {
  const TemporaryFolder folder;
  const Pixels large{{1, 4096, 4096, 1}, Bytes(1 << 24)};
  write_png(folder / "x.png", large);
  const Dataset data{large};
  const auto short_of_memory = [](const auto& act) {
    EXPECT_EXIT(exit_short_of_memory(4 << 20, act), testing::ExitedWithCode(0), "");
  };
  short_of_memory([&] { read_image(folder / "x.png"); });
  short_of_memory([&] { image_grid(large, 1); });
  short_of_memory([&] { Dataset::open(folder.path()); });
  short_of_memory([&] { data.slice(0, 1); });
}

#endif

TEST(ImageTest, AFailedWriteIsAnError) {
  expect_error(Errc::io, "/dev/full: cannot be written: No space left on device",
               [] { write_png("/dev/full", picture(1, 1, 1)); });
  expect_error(Errc::io, "/no/such/x.png: cannot be created: No such file or directory",
               [] { write_png("/no/such/x.png", picture(1, 1, 1)); });
}

}  // namespace
}  // namespace rheo::test
