#include "kernels/pixels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr std::uint64_t kSeed = 0x0123456789abcdef;

std::vector<std::uint8_t> random_pixels(std::int64_t count) {
  std::mt19937 bits(5);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count));
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(bits() >> 8);
  return pixels;
}

class PixelsTest : public OnBackend {
 protected:
  /// x of images [samples.size(), dims].
  std::vector<float> dequantize(const std::vector<std::uint8_t>& pixels,
                                const std::vector<std::int64_t>& samples, int n_bits,
                                bool centre = false, std::uint64_t seed = kSeed) {
    const auto count = static_cast<std::int64_t>(samples.size());
    const auto size = static_cast<std::int64_t>(pixels.size());
    Arena arena(backend());
    float* x = arena.out<float>(size);
    backend().pixels_dequantize({.pixels = arena.in(pixels),
                                 .x = x,
                                 .samples = arena.in(samples),
                                 .count = count,
                                 .dims = size / count,
                                 .n_bits = n_bits,
                                 .centre = centre,
                                 .seed = seed},
                                nullptr);
    return arena.read(x, size);
  }

  std::vector<std::uint8_t> quantize(const std::vector<float>& x, int n_bits) {
    const auto size = static_cast<std::int64_t>(x.size());
    Arena arena(backend());
    std::uint8_t* pixels = arena.out<std::uint8_t>(size);
    backend().pixels_quantize({.x = arena.in(x), .pixels = pixels, .size = size, .n_bits = n_bits},
                              nullptr);
    return arena.read(pixels, size);
  }
};

/// Every value, some times, so that each meets several draws.
std::vector<std::uint8_t> every_pixel() {
  std::vector<std::uint8_t> pixels(256 * 16);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i % 256);
  return pixels;
}

TEST_P(PixelsTest, EveryValueStaysInItsBinAndComesBack) {
  const std::vector<std::uint8_t> pixels = every_pixel();
  for (int n_bits = 1; n_bits <= 8; ++n_bits) {
    const std::vector<float> x = dequantize(pixels, {0, 1}, n_bits);
    const std::vector<std::uint8_t> back = quantize(x, n_bits);
    const int width = 1 << (8 - n_bits);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int q = pixels[i] / width;
      const double bin = (static_cast<double>(x[i]) + 0.5) * (1 << n_bits);
      ASSERT_GE(bin, q) << "value " << +pixels[i] << " of " << n_bits << " bits";
      ASSERT_LT(bin, q + 1) << "value " << +pixels[i] << " of " << n_bits << " bits";
      ASSERT_EQ(back[i], q * width) << n_bits << " bits";
    }
  }
}

TEST_P(PixelsTest, CentreIsTheMiddleOfTheBin) {
  const std::vector<std::uint8_t> pixels = every_pixel();
  for (int n_bits = 1; n_bits <= 8; ++n_bits) {
    const std::vector<float> x = dequantize(pixels, {3}, n_bits, true);
    const double bins = 1 << n_bits;
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(static_cast<double>(x[i]), (std::floor(pixels[i] * bins / 256) + 0.5) / bins - 0.5);
  }
}

TEST_P(PixelsTest, NoiseIsThatOfSeedSampleAndPositionAlone) {
  constexpr int kDims = 21;  // not a whole number of blocks of the generator
  const std::vector<std::uint8_t> one = random_pixels(kDims);
  std::vector<std::uint8_t> three = random_pixels(3 * kDims);
  std::copy(one.begin(), one.end(), three.begin() + kDims);
  const std::int64_t far = 0x300000007;  // needs more than 32 bits
  const std::vector<float> alone = dequantize(one, {far}, 8);
  const std::vector<float> among = dequantize(three, {2, far, 7}, 8);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), among.begin() + kDims));
  EXPECT_NE(alone, dequantize(one, {7}, 8)) << "the sample's upper bits count";
  EXPECT_NE(alone, dequantize(one, {far}, 8, false, kSeed ^ (1ull << 63)));
  const std::vector<float> shorter = dequantize({one.begin(), one.begin() + 9}, {far}, 8);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), alone.begin()));
}

// A run that goes on elsewhere has to meet the same noise.
TEST_P(PixelsTest, NoiseIsSixteenBitsOfTheGeneratorEach) {
  const std::vector<float> x = dequantize(std::vector<std::uint8_t>(37, 0), {11}, 8);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto words =
        math::random_block(kSeed, Purpose::dequantize, 11, static_cast<std::int64_t>(i / 8));
    const std::uint32_t k = i % 2 ? words[i % 8 / 2] >> 16 : words[i % 8 / 2] & 0xffff;
    ASSERT_EQ((static_cast<double>(x[i]) + 0.5) * 256 * 65536, k) << "position " << i;
  }
}

TEST_P(PixelsTest, NoiseIsUniform) {
  constexpr int kDraws = 1 << 16;
  const std::vector<float> x = dequantize(std::vector<std::uint8_t>(kDraws, 0), {1}, 1);
  std::array<int, 16> bins{};
  for (float value : x) ++bins[static_cast<std::size_t>((static_cast<double>(value) + 0.5) * 32)];
  const double share = kDraws / 16.0, deviation = std::sqrt(share * 15 / 16);
  for (int bin : bins) EXPECT_NEAR(bin, share, 5 * deviation);
}

TEST_P(PixelsTest, WhatIsOutOfRangeIsClamped) {
  const std::vector<float> x = {-3e38f, -0.500001f, -0.5f, 0.4999f, 0.5f, 3e38f};
  for (int n_bits = 1; n_bits <= 8; ++n_bits) {
    const int top = 256 - (1 << (8 - n_bits));
    const std::vector<std::uint8_t> got = quantize(x, n_bits);
    EXPECT_EQ(std::vector<int>(got.begin(), got.end()), (std::vector<int>{0, 0, 0, top, top, top}));
  }
}

RHEO_ON_EVERY_BACKEND(PixelsTest);

using Words = r123::Philox4x32::ctr_type;

// The published vectors of Random123, counter and key laid out as random_block does.
TEST(RandomTest, GivesThePublishedVectors) {
  const auto no_purpose = static_cast<Purpose>(0);
  EXPECT_EQ(math::random_block(0, no_purpose, 0, 0),
            (Words{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  EXPECT_EQ(math::random_block(~0ull, static_cast<Purpose>(~0u), -1, 0xffffffff),
            (Words{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  EXPECT_EQ(math::random_block(0x299f31d0a4093822, static_cast<Purpose>(0x03707344),
                               0x13198a2e85a308d3, 0x243f6a88),
            (Words{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST(RandomTest, NormalsAreFiniteAtBothEndsOfTheUniform) {
  for (std::uint32_t a : {0u, 1u, ~0u})
    for (std::uint32_t b : {0u, 1u << 31, ~0u}) {
      EXPECT_TRUE(std::isfinite(math::normals(a, b).first));
      EXPECT_TRUE(std::isfinite(math::normals(a, b).second));
    }
}

}  // namespace

DequantizeArgs pixels_dequantize_case(Arena& arena, const CaseShape& shape) {
  const std::int64_t dims = std::int64_t{shape.height} * shape.width * shape.channels;
  std::vector<std::int64_t> samples(static_cast<std::size_t>(shape.count));
  std::iota(samples.begin(), samples.end(), 40);
  return {.pixels = arena.in(random_pixels(shape.count * dims)),
          .x = arena.out<float>(shape.count * dims),
          .samples = arena.in(samples),
          .count = shape.count,
          .dims = dims,
          .n_bits = 8 - 2 * shape.option,
          .centre = shape.option == 3,
          .seed = kSeed};
}

QuantizeArgs pixels_quantize_case(Arena& arena, const CaseShape& shape) {
  const std::int64_t size = shape.pixels() * shape.channels;
  const int n_bits = 8 - shape.option;
  // Most of the range, so that few values are clamped to zero.
  std::vector<float> x = arena.normal(size, 0.2);
  if (!x.empty()) x[0] = 0.25f;
  return {
      .x = arena.in(x), .pixels = arena.out<std::uint8_t>(size), .size = size, .n_bits = n_bits};
}

}  // namespace rheo::test
