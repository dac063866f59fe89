#pragma once

// A matrix product for operands that cuBLASLt refuses: bf16 at odd addresses, say. Correct for all
// sizes, and slow.

#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/products.h"

namespace rheo::cuda {

namespace plain {

constexpr int kThreads = 256;
constexpr int kTile = 64;   // rows and columns of c to a block
constexpr int kDepth = 16;  // of k at a time
constexpr int kSide = 16;   // threads along a side of the tile
constexpr int kEach = kTile / kSide;

struct Sizes {
  std::int64_t m, n, k;
  std::int64_t a_row, a_col, b_row, b_col;  // steps
  bool add;
};

/// kTile lines of kDepth values; both steps are free, and what lies outside is zero.
template <class T>
__device__ void fetch(const T* from, std::int64_t line, std::int64_t lines, std::int64_t line_step,
                      std::int64_t depth, std::int64_t depths, std::int64_t depth_step,
                      float (*to)[kTile]) {
  for (int e = threadIdx.x; e < kTile * kDepth; e += kThreads) {
    // Neighbouring threads take neighbouring values.
    const int d = depth_step == 1 ? e % kDepth : e / kTile;
    const int l = depth_step == 1 ? e / kDepth : e % kTile;
    const bool inside = line + l < lines && depth + d < depths;
    to[d][l] = inside ? to_float(from[(line + l) * line_step + (depth + d) * depth_step]) : 0.f;
  }
}

/// A thread has a 4 x 4 corner of its block's tile, its rows and columns kSide apart.
template <class T, class To>
__global__ __launch_bounds__(kThreads) void product_kernel(Sizes s, const T* a, const T* b, To* c) {
  RHEO_SHARED(float, rows, [kDepth][kTile]);
  RHEO_SHARED(float, columns, [kDepth][kTile]);
  const std::int64_t row = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t column = std::int64_t{blockIdx.y} * kTile;
  const int i = threadIdx.x / kSide, j = threadIdx.x % kSide;
  float sums[kEach][kEach] = {};
  for (std::int64_t depth = 0; depth < s.k; depth += kDepth) {
    fetch(a, row, s.m, s.a_row, depth, s.k, s.a_col, rows);
    fetch(b, column, s.n, s.b_col, depth, s.k, s.b_row, columns);
    __syncthreads();
    for (int d = 0; d < kDepth; ++d)
#pragma unroll
      for (int p = 0; p < kEach; ++p)
#pragma unroll
        for (int q = 0; q < kEach; ++q)
          sums[p][q] += rows[d][i + p * kSide] * columns[d][j + q * kSide];
    __syncthreads();
  }
#pragma unroll
  for (int p = 0; p < kEach; ++p)
#pragma unroll
    for (int q = 0; q < kEach; ++q) {
      const std::int64_t r = row + i + p * kSide, o = column + j + q * kSide;
      if (r >= s.m || o >= s.n) continue;
      To& to = c[r * s.n + o];
      round_to(to, sums[p][q] + (s.add ? to_float(to) : 0.f));
    }
}

}  // namespace plain

/// Queues a product without its epilogue.
inline void plain_product(const Product& p, const Operands& operands, Stream stream) {
  const bool a_turned = p.form == Form::tn, b_turned = p.form == Form::nt;
  const plain::Sizes sizes = {.m = p.m,
                              .n = p.n,
                              .k = p.k,
                              .a_row = a_turned ? 1 : p.k,
                              .a_col = a_turned ? p.m : 1,
                              .b_row = b_turned ? 1 : p.n,
                              .b_col = b_turned ? p.k : 1,
                              .add = p.form == Form::tn};
  const dim3 grid(blocks_of(p.m, plain::kTile), blocks_of(p.n, plain::kTile));
  with_type(p.type, [&]<class T>(T*) {
    with_type(p.c_type, [&]<class To>(To*) {
      launch(plain::product_kernel<T, To>, grid, dim3(plain::kThreads), 0, stream, sizes,
             static_cast<const T*>(operands.a), static_cast<const T*>(operands.b),
             static_cast<To*>(operands.c));
    });
  });
}

}  // namespace rheo::cuda
