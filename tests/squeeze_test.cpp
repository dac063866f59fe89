#include "kernels/squeeze.h"

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

/// Offset of channel c of pixel (i, j) of image n, of rows of `stride` values.
std::size_t at(std::int64_t n, int i, int j, int c, int height, int width, int stride) {
  return static_cast<std::size_t>(((n * height + i) * width + j) * stride + c);
}

/// f(offset in large, offset in small), by the formula of docs/model.md.
template <class F>
void for_each_pair(const Grid& g, int channels, int stride, const F& f) {
  for (std::int64_t n = 0; n < g.count; ++n)
    for (int i = 0; i < g.height; ++i)
      for (int j = 0; j < g.width; ++j)
        for (int dy = 0; dy < 2; ++dy)
          for (int dx = 0; dx < 2; ++dx)
            for (int c = 0; c < channels; ++c)
              f(at(n, 2 * i + dy, 2 * j + dx, c, 2 * g.height, 2 * g.width, stride),
                at(n, i, j, 4 * c + 2 * dy + dx, g.height, g.width, 4 * channels));
}

class SqueezeTest : public OnBackend {
 protected:
  static constexpr Grid kGrid{3, 5, 7};
  static constexpr int kChannels = 3, kStride = 7;
  static constexpr std::int64_t kLarge = 3 * 10 * 14 * kStride, kSmall = 3 * 5 * 7 * 4 * kChannels;
};

TEST_P(SqueezeTest, ForwardIsTheFormulaOfTheSpecification) {
  Arena arena(backend());
  const std::vector<float> x = arena.normal(kLarge);
  float* y = arena.out<float>(kSmall);
  backend().squeeze_forward({kGrid, kChannels, kStride, arena.in(x), y}, nullptr);
  const std::vector<float> got = arena.read(y, kSmall);
  std::size_t compared = 0;
  for_each_pair(kGrid, kChannels, kStride, [&](std::size_t large, std::size_t small) {
    ASSERT_EQ(got[small], x[large]);
    ++compared;
  });
  EXPECT_EQ(compared, got.size());
  arena.results();
}

TEST_P(SqueezeTest, InverseUndoesForwardAndTouchesNoOtherChannel) {
  Arena arena(backend());
  const std::vector<float> x = arena.normal(kLarge);
  float* y = arena.out<float>(kSmall);
  float* back = arena.out<float>(kLarge);
  backend().squeeze_forward({kGrid, kChannels, kStride, arena.in(x), y}, nullptr);
  backend().squeeze_inverse({kGrid, kChannels, kStride, y, back}, nullptr);
  const std::vector<float> got = arena.read(back, kLarge);
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], i % kStride < kChannels ? x[i] : kSentinel) << "value " << i;
  arena.results();
}

RHEO_ON_EVERY_BACKEND(SqueezeTest);

struct Sizes {
  int stride;
  std::int64_t large, small;
};

/// Half of the options leave channels of a wider state alone.
Sizes sizes_of(const CaseShape& shape) {
  const int stride = shape.option % 2 ? 2 * shape.channels : shape.channels;
  return {stride, 4 * shape.pixels() * stride, 4 * shape.pixels() * shape.channels};
}

}  // namespace

SqueezeArgs squeeze_forward_case(Arena& arena, const CaseShape& shape) {
  const Sizes sizes = sizes_of(shape);
  return {shape.grid(), shape.channels, sizes.stride, arena.in(sizes.large),
          arena.out<float>(sizes.small)};
}

SqueezeArgs squeeze_inverse_case(Arena& arena, const CaseShape& shape) {
  const Sizes sizes = sizes_of(shape);
  return {shape.grid(), shape.channels, sizes.stride, arena.in(sizes.small),
          arena.out<float>(sizes.large, shape.option % 2 ? 0.5 : 0)};
}

}  // namespace rheo::test
