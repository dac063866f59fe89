#pragma once

// What weights_prepare and its backward share: how a launch is divided between mixes and products,
// and the matrices of a mix in double, worked on in slabs of sixteen columns.

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/weights.h"

namespace rheo::cuda {

constexpr int kWeightsThreads = 256;
constexpr int kWeightsWarps = kWeightsThreads / 32;

// The descriptions lie on the device, so the launch cannot count slabs and rows: each mix and each
// product has so many blocks, which share its work.
constexpr int kMixShares = 8;
constexpr int kProductShares = 16;

inline unsigned weights_blocks(const WeightsArgs& a) {
  return static_cast<unsigned>(a.mix_count) * kMixShares +
         static_cast<unsigned>(a.product_count) * kProductShares;
}

/// What a block is there for.
struct Share {
  bool mix;
  int index, share;  // of the mix or product, and of its shares

  /// Mixes have chains of sums to wait for, products are bound by memory: blocks alternate, so that
  /// each hides the other, until one kind is used up.
  __device__ explicit Share(const WeightsArgs& a) {
    const int mixes = a.mix_count * kMixShares, products = a.product_count * kProductShares;
    const int pairs = mixes < products ? mixes : products;
    const int block = static_cast<int>(blockIdx.x);
    mix = block < 2 * pairs ? block % 2 == 0 : mixes > products;
    const int nth = block < 2 * pairs ? block / 2 : block - pairs;
    index = nth / (mix ? kMixShares : kProductShares);
    share = nth % (mix ? kMixShares : kProductShares);
  }
};

constexpr int kSlab = 16;                                  // columns
constexpr int kSlabRows = kWeightsThreads / (kSlab / 2);   // that the threads take at once
constexpr int kNearChannels = 192;                         // slabs of no more lie in shared memory
constexpr int kNearDoubles = kNearChannels * (kSlab + 1);  // 25.5 KiB: no limit to residency

using Pair = Vector<double, 2>;

/// Sixteen columns of a matrix with n rows, and one over the diagonal of U. A thread has two of the
/// columns and every 32nd row: a warp's accesses to a row are one stretch of memory.
struct Slab {
  int n;
  int pair, row;       // of the thread
  double* x;           // [n, kSlab]
  double* reciprocal;  // [n]

  __device__ Slab(const WeightsArgs& a, const MixFold& m, int share, double* near)
      : n(m.channels),
        pair(static_cast<int>(threadIdx.x) % (kSlab / 2)),
        row(static_cast<int>(threadIdx.x) / (kSlab / 2)),
        x(near) {
    // Each share's part of the mix's 4 n^2 doubles, of which one may go into the alignment.
    if (n > kNearChannels) {
      x = a.workspace + m.room + std::int64_t{share} * (kSlab + 2) * n;
      if (reinterpret_cast<std::uintptr_t>(x) % sizeof(Pair)) ++x;
    }
    reciprocal = x + n * kSlab;
  }

  __device__ Pair& at(int k) const { return reinterpret_cast<Pair*>(x)[k * (kSlab / 2) + pair]; }

  /// The sum of coefficient[k * step] x_k for first <= k < last.
  __device__ Pair dot(const float* coefficient, int step, int first, int last) const {
    Pair sum{};
    const float* at_k = coefficient + std::int64_t{first} * step;
#pragma unroll 4
    for (int k = first; k < last; ++k, at_k += step) {
      const double c = static_cast<double>(*at_k);
      const Pair x_k = at(k);
      sum.at[0] += c * x_k.at[0];
      sum.at[1] += c * x_k.at[1];
    }
    return sum;
  }
};

static_assert(kMixShares * (kSlab + 2) <= 4 * kNearChannels, "the shares' parts of a wide mix");

/// Of a full warp, in a fixed order; every lane has it.
__device__ inline double warp_sum(double value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

/// The weights of a product, which lie side by side in `pieces` stretches of `length`: piece i of
/// the parameter is row row_of(i) of the matrix, and belongs to output output_of(i).
struct Pieces {
  bool columns;
  int out, taps, length;

  __device__ explicit Pieces(const ProductFold& p)
      : columns(p.layout == ProductLayout::columns),
        out(p.out),
        taps(columns ? 1 : p.taps),
        length(columns ? p.taps * p.in : p.in) {}

  __device__ int count() const { return out * taps; }
  __device__ int output_of(int i) const { return i / taps; }
  __device__ int tap_of(int i) const { return i % taps; }
  __device__ std::int64_t row_of(int i) const {
    return std::int64_t{tap_of(i)} * out + output_of(i);
  }
};

/// f(sees), where sees(i) tells whether value i of a piece that belongs to an output is seen: all
/// of them where nothing is masked, at no cost to the loops.
template <class F>
__device__ __forceinline__ void with_mask(const ProductFold& p, int output, const F& f) {
  if (p.made == MadeLayer::none) return f([](int) { return true; });
  const math::MadeRow row = math::made_row(p, output);
  f([row](int i) { return row.sees(i); });
}

}  // namespace rheo::cuda
