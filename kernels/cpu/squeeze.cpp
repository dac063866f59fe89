#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// f(large, small): offsets of the same value on either side.
template <class F>
void for_each_value(const SqueezeArgs& a, const F& f) {
  const int h = a.grid.height, w = a.grid.width;
  const std::int64_t work = a.grid.pixels() * 4 * a.channels * kPerValue;
  parallel_for(a.grid.count * h, work, [&](std::int64_t row) {
    for (int j = 0; j < w; ++j)
      for (int part = 0; part < 4; ++part) {
        const std::int64_t pixel = (row * 2 + part / 2) * (2 * w) + 2 * j + part % 2;
        for (int c = 0; c < a.channels; ++c)
          f(pixel * a.stride + c, (row * w + j) * 4 * a.channels + 4 * c + part);
      }
  });
}

}  // namespace

void squeeze_forward(const SqueezeArgs& a, Stream) {
  for_each_value(a, [&](std::int64_t large, std::int64_t small) { a.to[small] = a.from[large]; });
}

void squeeze_inverse(const SqueezeArgs& a, Stream) {
  for_each_value(a, [&](std::int64_t large, std::int64_t small) { a.to[large] = a.from[small]; });
}

}  // namespace rheo::cpu::RHEO_ISA
