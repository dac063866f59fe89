#include "kernels/squeeze.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/vector.cuh"

namespace rheo::cuda {
namespace {

constexpr int kThreads = 256;

/// How rows of the small side, all images' in a row, are dealt to blocks: threadIdx.y is the row of
/// a block, which `x` threads work on; grid.y is the part of a row where it needs several.
struct Deal {
  std::int64_t rows;  // N * h
  dim3 grid, block;
};

Deal deal(const SqueezeArgs& a, int items) {
  const std::int64_t rows = a.grid.count * a.grid.height;
  const int parts = (items + kThreads - 1) / kThreads, x = (items + parts - 1) / parts;
  const int y = kThreads / x;
  return {rows, dim3(blocks_of(rows, y), parts), dim3(x, y)};
}

__device__ std::int64_t row_of_thread() {
  return std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
}

__device__ int item_of_thread() {
  return static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
}

/// A thread is one channel of a 2x2 square and writes its four values at once; the values that its
/// neighbours in the warp do not read of a sector, its own second read does. 8 bytes a value.
template <bool kVector>
__global__ void __launch_bounds__(kThreads)
    squeeze_forward_kernel(SqueezeArgs a, std::int64_t rows) {
  const std::int64_t row = row_of_thread();
  const int item = item_of_thread(), width = a.grid.width;
  if (row >= rows || item >= width * a.channels) return;
  const int j = item / a.channels, c = item % a.channels;
  const std::int64_t pitch = std::int64_t{2} * width * a.stride;  // of a large row
  const float* from = a.from + row * 2 * pitch + std::int64_t{2} * j * a.stride + c;
  const Vector<float, 4> square = {{from[0], from[a.stride], from[pitch], from[pitch + a.stride]}};
  float* to = a.to + (row * width * a.channels + item) * 4;
  if constexpr (kVector) {
    store(to, square);
  } else {
#pragma unroll
    for (int part = 0; part < 4; ++part) to[part] = square.at[part];
  }
}

/// A thread is one channel of the upper and the lower pixel of a column of the large side, so that
/// neighbours write side by side; what they skip of the small side, others of the warp and their
/// own second read take from the L1 cache.
__global__ void __launch_bounds__(kThreads)
    squeeze_inverse_kernel(SqueezeArgs a, std::int64_t rows) {
  const std::int64_t row = row_of_thread();
  const int item = item_of_thread(), width = 2 * a.grid.width;
  if (row >= rows || item >= width * a.channels) return;
  const int j = item / a.channels, c = item % a.channels;
  const float* from =
      a.from + (row * a.grid.width + j / 2) * 4 * a.channels + std::int64_t{4} * c + j % 2;
  const float upper = from[0], lower = from[2];
  float* to = a.to + (row * 2 * width + j) * a.stride + c;
  to[0] = upper;
  to[std::int64_t{width} * a.stride] = lower;
}

}  // namespace

void squeeze_forward(const SqueezeArgs& a, Stream stream) {
  const Deal d = deal(a, a.grid.width * a.channels);
  launch(aligned(a.to, 4) ? squeeze_forward_kernel<true> : squeeze_forward_kernel<false>, d.grid,
         d.block, 0, stream, a, d.rows);
}

void squeeze_inverse(const SqueezeArgs& a, Stream stream) {
  const Deal d = deal(a, 2 * a.grid.width * a.channels);
  launch(squeeze_inverse_kernel, d.grid, d.block, 0, stream, a, d.rows);
}

}  // namespace rheo::cuda
