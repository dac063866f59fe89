#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

constexpr int kBlock = 8;  // 16-bit draws in one block of the generator

void dequantize_block(const DequantizeArgs& a, std::int64_t n, std::int64_t block) {
  const auto words = math::random_block(a.seed, Purpose::dequantize, a.samples[n], block);
  const std::int64_t first = block * kBlock;
  for (int i = 0; i < kBlock && first + i < a.dims; ++i) {
    const int k = a.centre ? 1 << 15 : static_cast<int>(words[i / 2] >> (16 * (i % 2)) & 0xffff);
    const std::int64_t at = n * a.dims + first + i;
    a.x[at] = math::dequantize(a.pixels[at], a.n_bits, k);
  }
}

}  // namespace

void pixels_dequantize(const DequantizeArgs& a, Stream) {
  parallel_for(a.count, a.count * a.dims * kPerFlowValue, [&](std::int64_t n) {
    for (std::int64_t block = 0; block * kBlock < a.dims; ++block) dequantize_block(a, n, block);
  });
}

void pixels_quantize(const QuantizeArgs& a, Stream) {
  parallel_for(a.size, a.size * kPerValue,
               [&](std::int64_t i) { a.pixels[i] = math::quantize(a.x[i], a.n_bits); });
}

}  // namespace rheo::cpu::RHEO_ISA
