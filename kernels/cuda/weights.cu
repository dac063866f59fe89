#include "kernels/weights.h"

#include <cuda_bf16.h>

#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/weights.cuh"

namespace rheo::cuda {
namespace {

constexpr int kPanel = 8;  // rows of a triangle that are solved before the others learn of it

/// Columns first, first + 1, ... of M = Perm L U diag(exp(log_scale)); the slab is U's.
__device__ void fold_slab(const WeightsArgs& a, const MixFold& m, const Slab& s, int first) {
  const int n = s.n, column = first + 2 * s.pair;
  const float *lower = a.parameters + m.lower, *upper = a.parameters + m.upper;
  double scale[2] = {}, diagonal[2] = {};
#pragma unroll
  for (int c = 0; c < 2; ++c)
    if (column + c < n) {
      scale[c] = math::mix_scale(a, m, column + c);
      diagonal[c] = math::mix_diagonal(a, m, column + c);
    }
  for (int k = s.row; k < n; k += kSlabRows) {
    Pair u{};
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int j = column + c;
      if (k == j) u.at[c] = diagonal[c];
      if (k < j && j < n) u.at[c] = static_cast<double>(upper[std::int64_t{k} * n + j]);
    }
    s.at(k) = u;
  }
  __syncthreads();
  for (int i = s.row; i < n; i += kSlabRows) {
    const int row = a.permutations[m.permutation + i];
    const int end = first + kSlab;  // the slab is zero from there on
    const Pair sum = s.dot(lower + std::int64_t{row} * n, 1, 0, row < end ? row : end);
    const Pair own = s.at(row);  // L's diagonal is one
#pragma unroll
    for (int c = 0; c < 2; ++c)
      if (column + c < n)
        a.folded[m.mix + std::int64_t{i} * n + column + c] =
            static_cast<float>((sum.at[c] + own.at[c]) * scale[c]);
  }
}

/// Solves rows first .. first + kPanel - 1 of L x = b or U x = b, b in x, a thread for each column.
template <bool kUpper>
__device__ void solve_panel(const Slab& s, const float* triangle, int first) {
  if (threadIdx.x >= kSlab) return;
  const int count = s.n - first;
  double* x = s.x + first * kSlab + threadIdx.x;
  double v[kPanel];
#pragma unroll
  for (int k = 0; k < kPanel; ++k) v[k] = k < count ? x[k * kSlab] : 0;
#pragma unroll
  for (int step = 0; step < kPanel; ++step) {
    const int k = kUpper ? kPanel - 1 - step : step;
    if (k >= count) continue;
    if (kUpper) v[k] *= s.reciprocal[first + k];
#pragma unroll
    for (int i = 0; i < kPanel; ++i)
      if ((kUpper ? i < k : i > k) && i < count)
        v[i] -= static_cast<double>(triangle[std::int64_t{first + i} * s.n + first + k]) * v[k];
  }
#pragma unroll
  for (int k = 0; k < kPanel; ++k)
    if (k < count) x[k * kSlab] = v[k];
}

/// Takes the solved panel out of the rows that are still to be solved.
template <bool kUpper>
__device__ void leave_panel(const Slab& s, const float* triangle, int first) {
  const int count = s.n - first;
  Pair solved[kPanel];
#pragma unroll
  for (int k = 0; k < kPanel; ++k) solved[k] = k < count ? s.at(first + k) : Pair{};
  const int end = kUpper ? first : s.n;
  for (int i = (kUpper ? 0 : first + kPanel) + s.row; i < end; i += kSlabRows) {
    const float* coefficients = triangle + std::int64_t{i} * s.n + first;
    Pair x = s.at(i);
#pragma unroll
    for (int k = 0; k < kPanel; ++k) {
      const double c = k < count ? static_cast<double>(coefficients[k]) : 0;
      x.at[0] -= c * solved[k].at[0];
      x.at[1] -= c * solved[k].at[1];
    }
    s.at(i) = x;
  }
}

/// Columns first, first + 1, ... of M^-1 = diag(exp(-log_scale)) U^-1 L^-1 Perm^T, from the same
/// columns of the identity.
__device__ void invert_slab(const WeightsArgs& a, const MixFold& m, const Slab& s, int first) {
  const int n = s.n, column = first + 2 * s.pair;
  const float *lower = a.parameters + m.lower, *upper = a.parameters + m.upper;
  const int* one = a.permutations + m.permutation + column;  // Perm^T e_column
  const int ones[2] = {column < n ? one[0] : n, column + 1 < n ? one[1] : n};
  for (int k = s.row; k < n; k += kSlabRows)
    s.at(k) = {{k == ones[0] ? 1. : 0., k == ones[1] ? 1. : 0.}};
  for (int k = static_cast<int>(threadIdx.x); k < n; k += kWeightsThreads)
    s.reciprocal[k] = 1 / math::mix_diagonal(a, m, k);
  __syncthreads();
  for (int k = 0; k < n; k += kPanel) {
    solve_panel<false>(s, lower, k);
    __syncthreads();
    leave_panel<false>(s, lower, k);
    __syncthreads();
  }
  for (int k = (n - 1) / kPanel * kPanel; k >= 0; k -= kPanel) {
    solve_panel<true>(s, upper, k);
    __syncthreads();
    leave_panel<true>(s, upper, k);
    __syncthreads();
  }
  for (int i = s.row; i < n; i += kSlabRows) {
    const double scale = math::mix_scale(a, m, i);
    const Pair x = s.at(i);
#pragma unroll
    for (int c = 0; c < 2; ++c)
      if (column + c < n)
        a.folded[m.inverse + std::int64_t{i} * n + column + c] =
            static_cast<float>(x.at[c] / scale);
  }
}

/// The bias, and P (sum log_scale + sum log_diagonal), by one warp.
__device__ void fold_vectors(const WeightsArgs& a, const MixFold& m, double* log_det) {
  double sum = 0;
  for (int j = static_cast<int>(threadIdx.x); j < m.channels; j += 32) {
    a.folded[m.folded_bias + j] = math::mix_bias(a, m, j);
    sum += math::mix_log_det(a, m, j);
  }
  sum = warp_sum(sum);
  if (threadIdx.x == 0) *log_det = sum * static_cast<double>(m.pixels);
}

/// A share of the rows of M = Perm diag(exp(log_scale)) and M^-1 = diag(exp(-log_scale)) Perm^T.
__device__ void fold_permutation(const WeightsArgs& a, const MixFold& m, int share) {
  const int* permutation = a.permutations + m.permutation;
  for (int i = share; i < m.channels; i += kMixShares) {
    const int one = permutation[i];
    const double scale = math::mix_scale(a, m, one), own = 1 / math::mix_scale(a, m, i);
    const std::int64_t row = std::int64_t{i} * m.channels;
    for (int j = static_cast<int>(threadIdx.x); j < m.channels; j += kWeightsThreads) {
      a.folded[m.mix + row + j] = j == one ? static_cast<float>(scale) : 0.f;
      a.folded[m.inverse + row + j] = permutation[j] == i ? static_cast<float>(own) : 0.f;
    }
  }
}

__device__ void prepare_mix(const WeightsArgs& a, int index, int share, double* near) {
  const MixFold& m = a.mixes[index];
  if (share == kMixShares - 1 && threadIdx.x < 32) fold_vectors(a, m, a.log_det + index);
  if (!m.has_factors()) return fold_permutation(a, m, share);
  const Slab s(a, m, share, near);
  const int slabs = (m.channels + kSlab - 1) / kSlab;
  for (int task = share; task < 2 * slabs; task += kMixShares) {
    if (task < slabs)
      invert_slab(a, m, s, task * kSlab);
    else
      fold_slab(a, m, s, (task - slabs) * kSlab);
    __syncthreads();  // the slab is the next one's
  }
}

/// A warp writes values first, first + 1, ... of a piece, s times as large or 0 where not seen:
/// count vectors. Four loads of each lane are under way at once.
template <int kWidth, class T, class Sees>
__device__ void scale_vectors(const float* piece, T* row, int first, int count, float s, int lane,
                              const Sees& sees) {
  constexpr int kLoads = 4;
  const auto* from = reinterpret_cast<const Vector<float, kWidth>*>(piece + first) + lane;
  auto* to = reinterpret_cast<Vector<T, kWidth>*>(row + first) + lane;
  for (int left = count - lane; left > 0; left -= 32 * kLoads) {
    Vector<float, kWidth> v[kLoads] = {};
#pragma unroll
    for (int l = 0; l < kLoads; ++l)
      if (32 * l < left) v[l] = from[32 * l];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (32 * l >= left) break;
      const int at = first + (count - left + 32 * l) * kWidth;
      Vector<T, kWidth> y;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) round_to(y.at[i], sees(at + i) ? v[l].at[i] * s : 0.f);
      to[32 * l] = y;
    }
    from += 32 * kLoads, to += 32 * kLoads;
  }
}

/// Bias and edge of output o, and the zeros behind them; in the taps layout those of one tap.
template <class T>
__device__ void fold_constants(const WeightsArgs& a, const ProductFold& p, const Pieces& pieces,
                               int piece, T* row, float s, int lane) {
  const int o = pieces.output_of(piece), tap = pieces.tap_of(piece);
  const float bias = a.parameters[p.bias + o] * s;
  const std::int64_t edge = p.edge + std::int64_t{o} * p.taps;
  if (pieces.columns) {
    for (int i = pieces.length + lane; i < p.stride; i += 32) {
      const int t = i - pieces.length - 1;
      const bool is_edge = t >= 0 && t < p.taps && p.edge >= 0;
      round_to(row[i], t < 0 ? bias : is_edge ? a.parameters[edge + t] * s : 0);
    }
  } else if (lane == 0) {
    if (tap == 0) a.folded[p.folded_bias + o] = bias;
    if (p.edge >= 0) a.folded[p.folded_edge + pieces.row_of(piece)] = a.parameters[edge + tap] * s;
  }
  if (lane == 0 && tap == 0 && p.linear_bias >= 0)
    round_to(reinterpret_cast<T*>(static_cast<char*>(a.packed) + p.linear_bias)[o], bias);
}

/// A warp for each stretch of weights. Reads 4 bytes a weight and writes 2 or 4: memory decides.
template <class T>
__device__ void prepare_product(const WeightsArgs& a, const ProductFold& p, int share) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Pieces pieces(p);
  T* matrix = reinterpret_cast<T*>(static_cast<char*>(a.packed) + p.matrix);
  for (int i = share * kWeightsWarps + static_cast<int>(threadIdx.x) / 32; i < pieces.count();
       i += kProductShares * kWeightsWarps) {
    const float* from = a.parameters + p.weight + std::int64_t{i} * pieces.length;
    T* to = matrix + pieces.row_of(i) * p.stride;
    const float s = math::product_scale(a, p, pieces.output_of(i));
    const int whole = aligned(from, 4) && aligned(to, 4) ? pieces.length / 4 * 4 : 0;
    with_mask(p, pieces.output_of(i), [&](const auto& sees) {
      scale_vectors<4>(from, to, 0, whole / 4, s, lane, sees);
      scale_vectors<1>(from, to, whole, pieces.length - whole, s, lane, sees);
    });
    fold_constants(a, p, pieces, i, to, s, lane);
  }
}

__global__ void __launch_bounds__(kWeightsThreads, 3) weights_prepare_kernel(WeightsArgs a) {
  RHEO_SHARED(double, near, [kNearDoubles]);
  const Share share(a);
  if (share.mix) return prepare_mix(a, share.index, share.share, near);
  const ProductFold& p = a.products[share.index];
  if (p.type == Dtype::f32)
    prepare_product<float>(a, p, share.share);
  else
    prepare_product<__nv_bfloat16>(a, p, share.share);
}

}  // namespace

void weights_prepare(const WeightsArgs& a, Stream stream) {
  launch(weights_prepare_kernel, weights_blocks(a), kWeightsThreads, 0, stream, a);
}

}  // namespace rheo::cuda
