#include "kernels/pixels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/vector.cuh"

namespace rheo::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kQuad = 4;  // values of a thread: half of what a block of the generator serves

/// A thread draws half a block of the generator and keeps four values, so that neighbours write
/// 16 bytes side by side; drawing each block twice is cheaper than half-written sectors. An image
/// is `blocks` thread blocks. 5 bytes a value; memory decides.
template <bool kVector>
__global__ void __launch_bounds__(kThreads)
    pixels_dequantize_kernel(DequantizeArgs a, unsigned blocks) {
  const std::int64_t n = blockIdx.x / blocks;
  const std::int64_t quad = std::int64_t{blockIdx.x % blocks} * kThreads + threadIdx.x;
  const std::int64_t first = quad * kQuad, at = n * a.dims + first;
  if (first >= a.dims) return;
  const auto words = math::random_block(a.seed, Purpose::dequantize, a.samples[n], quad / 2);
  const std::uint32_t draws[2] = {quad % 2 ? words[2] : words[0], quad % 2 ? words[3] : words[1]};
  const auto value = [&](int pixel, int i) {
    const int k = a.centre ? 1 << 15 : static_cast<int>(draws[i / 2] >> (16 * (i % 2)) & 0xffff);
    return math::dequantize(pixel, a.n_bits, k);
  };
  if constexpr (kVector) {
    const auto pixels = load<kQuad>(a.pixels + at);
    Vector<float, kQuad> x;
#pragma unroll
    for (int i = 0; i < kQuad; ++i) x.at[i] = value(pixels.at[i], i);
    store_at(a.x + n * a.dims, quad, x);
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      if (first + i < a.dims) a.x[at + i] = value(a.pixels[at + i], i);
  }
}

/// A thread takes four values; 5 bytes each.
template <bool kVector>
__global__ void __launch_bounds__(kThreads) pixels_quantize_kernel(QuantizeArgs a) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kQuad;
  if (kVector && first + kQuad <= a.size) {
    const auto x = load<kQuad>(a.x + first);
    Vector<std::uint8_t, kQuad> pixels;
#pragma unroll
    for (int i = 0; i < kQuad; ++i) pixels.at[i] = math::quantize(x.at[i], a.n_bits);
    store(a.pixels + first, pixels);
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      if (first + i < a.size) a.pixels[first + i] = math::quantize(a.x[first + i], a.n_bits);
  }
}

}  // namespace

void pixels_dequantize(const DequantizeArgs& a, Stream stream) {
  const unsigned blocks = blocks_of(a.dims, kThreads * kQuad);
  const bool vector = a.dims % kQuad == 0 && aligned(a.pixels, kQuad) && aligned(a.x, kQuad);
  launch(vector ? pixels_dequantize_kernel<true> : pixels_dequantize_kernel<false>,
         static_cast<unsigned>(a.count * blocks), kThreads, 0, stream, a, blocks);
}

void pixels_quantize(const QuantizeArgs& a, Stream stream) {
  const bool vector = aligned(a.pixels, kQuad) && aligned(a.x, kQuad);
  launch(vector ? pixels_quantize_kernel<true> : pixels_quantize_kernel<false>,
         blocks_of(a.size, kThreads * kQuad), kThreads, 0, stream, a);
}

}  // namespace rheo::cuda
