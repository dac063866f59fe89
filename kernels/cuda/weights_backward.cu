#include "kernels/cuda/operations.h"
#include "kernels/cuda/weights.cuh"

namespace rheo::cuda {
namespace {

constexpr int kSums = 2 * kSlab;  // dlog_scale and dbias of each column

/// What the rows of a slab add to the sums of its columns, by the rows of threads.
using Partial = double[kSums];

/// Fills the slab with columns first, first + 1, ... of A = Perm^T G diag(exp(log_scale)) and, in
/// passing, sums dlog_scale_j = sum_i M_ij G_ij + P w and dbias_j = sum_i M_ij (sum dy)_i.
__device__ void scale_slab(const WeightsBackwardArgs& b, const MixFold& m, const Slab& s, int first,
                           double constant, Partial* partial) {
  const WeightsArgs& a = b.forward;
  const int n = s.n, column = first + 2 * s.pair;
  const float *g = b.dfolded + m.mix, *mix = a.folded + m.mix, *sum = b.dfolded + m.folded_bias;
  const int* permutation = a.permutations + m.permutation;
  double scale[2] = {}, dscale[2] = {}, dbias[2] = {};
#pragma unroll
  for (int c = 0; c < 2; ++c)
    if (column + c < n) scale[c] = math::mix_scale(a, m, column + c);
  for (int i = s.row; i < n; i += kSlabRows) {
    const double sum_i = static_cast<double>(sum[i]);
    Pair scaled{};
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if (column + c >= n) continue;
      const std::int64_t ij = std::int64_t{i} * n + column + c;
      const double g_ij = static_cast<double>(g[ij]), m_ij = static_cast<double>(mix[ij]);
      dscale[c] += m_ij * g_ij;
      dbias[c] += m_ij * sum_i;
      scaled.at[c] = g_ij * scale[c];
    }
    s.at(permutation[i]) = scaled;
  }
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    partial[s.row][2 * s.pair + c] = dscale[c];
    partial[s.row][kSlab + 2 * s.pair + c] = dbias[c];
  }
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x), j = first + t % kSlab;
  if (!m.has_actnorm() || t >= kSums || j >= n) return;
  double total = t < kSlab ? constant : 0;
  for (int row = 0; row < kSlabRows; ++row) total += partial[row][t];
  b.dparameters[(t < kSlab ? m.log_scale : m.bias) + j] = static_cast<float>(total);
}

/// Columns first, first + 1, ... of dU = upper of L^T A, with those of dlog_diagonal.
__device__ void upper_backward(const WeightsBackwardArgs& b, const MixFold& m, const Slab& s,
                               int first, Partial* partial) {
  const int n = s.n, column = first + 2 * s.pair;
  const double constant = b.dlog_det * static_cast<double>(m.pixels);
  const float* lower = b.forward.parameters + m.lower;
  float *dupper = b.dparameters + m.upper, *ddiagonal = b.dparameters + m.log_diagonal;
  scale_slab(b, m, s, first, constant, partial);
  for (int i = s.row; i < n; i += kSlabRows) {
    Pair sum{};
    if (i < first + kSlab) {  // below, there is no U
      sum = s.dot(lower + i, n, i + 1, n);
      const Pair own = s.at(i);  // L's diagonal is one
      sum.at[0] += own.at[0], sum.at[1] += own.at[1];
    }
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int j = column + c;
      if (j >= n) continue;
      dupper[std::int64_t{i} * n + j] = i < j ? static_cast<float>(sum.at[c]) : 0.f;
      if (i == j)
        ddiagonal[j] =
            static_cast<float>(sum.at[c] * math::mix_diagonal(b.forward, m, j) + constant);
    }
  }
}

/// Rows of dlower = strictly lower of A U^T: those that rows first, first + 1, ... of G become. The
/// slab is these rows of A, transposed.
__device__ void lower_backward(const WeightsBackwardArgs& b, const MixFold& m, const Slab& s,
                               int first) {
  const WeightsArgs& a = b.forward;
  const int n = s.n, row = first + 2 * s.pair;
  const float *g = b.dfolded + m.mix, *upper = a.parameters + m.upper;
  float* dlower = b.dparameters + m.lower;
  const int* permutation = a.permutations + m.permutation;
  for (int k = s.row; k < n; k += kSlabRows) {
    const double scale = math::mix_scale(a, m, k);
    Pair scaled{};
#pragma unroll
    for (int c = 0; c < 2; ++c)
      if (row + c < n) scaled.at[c] = static_cast<double>(g[std::int64_t{row + c} * n + k]) * scale;
    s.at(k) = scaled;
  }
  __syncthreads();
  const int rows[2] = {row < n ? permutation[row] : n, row + 1 < n ? permutation[row + 1] : n};
  for (int j = s.row; j < n; j += kSlabRows) {
    const double diagonal = math::mix_diagonal(a, m, j);
    const Pair sum = s.dot(upper + std::int64_t{j} * n, 1, j + 1, n), own = s.at(j);
#pragma unroll
    for (int c = 0; c < 2; ++c)
      if (rows[c] < n)
        dlower[std::int64_t{rows[c]} * n + j] =
            j < rows[c] ? static_cast<float>(sum.at[c] + diagonal * own.at[c]) : 0.f;
  }
}

/// A share of the channels of W = Perm.
__device__ void permutation_backward(const WeightsBackwardArgs& b, const MixFold& m, int share) {
  if (!m.has_actnorm()) return;
  for (int i = share * kWeightsThreads + static_cast<int>(threadIdx.x); i < m.channels;
       i += kMixShares * kWeightsThreads)
    math::permutation_backward(b, m, i);
}

__device__ void mix_backward(const WeightsBackwardArgs& b, const MixFold& m, int share,
                             double* near, Partial* partial) {
  if (!m.has_factors()) return permutation_backward(b, m, share);
  const Slab s(b.forward, m, share, near);
  const int slabs = (m.channels + kSlab - 1) / kSlab;
  for (int task = share; task < 2 * slabs; task += kMixShares) {
    if (task < slabs)
      upper_backward(b, m, s, task * kSlab, partial);
    else
      lower_backward(b, m, s, (task - slabs) * kSlab);
    __syncthreads();  // the slab is the next one's
  }
}

/// A piece of weights with their gradients.
struct PulledPiece {
  const float *gradient, *parameter;
  float* to;
};

/// d(parameter) = s d(folded) of values first, first + 1, ... of a piece, by a warp, or 0 where not
/// seen: count vectors. The sum of d(folded) parameter of this lane's. Four loads of each kind are
/// under way at once.
template <int kWidth, class Sees>
__device__ double pull_vectors(const PulledPiece& piece, int first, int count, float s, int lane,
                               const Sees& sees) {
  constexpr int kLoads = 4;
  using Values = Vector<float, kWidth>;
  const auto* from = reinterpret_cast<const Values*>(piece.gradient + first) + lane;
  const auto* at = reinterpret_cast<const Values*>(piece.parameter + first) + lane;
  auto* to = reinterpret_cast<Values*>(piece.to + first) + lane;
  double dot = 0;
  for (int left = count - lane; left > 0; left -= 32 * kLoads) {
    Values g[kLoads] = {}, w[kLoads] = {};
#pragma unroll
    for (int l = 0; l < kLoads; ++l)
      if (32 * l < left) g[l] = from[32 * l], w[l] = at[32 * l];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (32 * l >= left) break;
      const int index = first + (count - left + 32 * l) * kWidth;
      Values y;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const bool seen = sees(index + i);
        y.at[i] = seen ? g[l].at[i] * s : 0.f;
        if (seen) dot += static_cast<double>(g[l].at[i]) * static_cast<double>(w[l].at[i]);
      }
      to[32 * l] = y;
    }
    from += 32 * kLoads, at += 32 * kLoads, to += 32 * kLoads;
  }
  return dot;
}

/// The same of an output's bias and edges.
__device__ double pull_constants(const WeightsBackwardArgs& b, const ProductFold& p,
                                 const Pieces& pieces, int o, float s, int lane) {
  double dot = 0;
  const float* row =
      b.dpacked + p.dmatrix + std::int64_t{o} * p.stride + pieces.length;  // columns layout
  for (int i = lane; i < 1 + (p.edge < 0 ? 0 : p.taps); i += 32) {
    const std::int64_t parameter = i == 0 ? p.bias + o : p.edge + std::int64_t{o} * p.taps + i - 1;
    const std::int64_t folded =
        i == 0 ? p.folded_bias + o : p.folded_edge + std::int64_t{i - 1} * p.out + o;
    const float gradient = pieces.columns ? row[i] : b.dfolded[folded];
    b.dparameters[parameter] = gradient * s;
    dot += static_cast<double>(gradient) * static_cast<double>(b.forward.parameters[parameter]);
  }
  return dot;
}

/// A warp for each output. Moves 12 bytes a weight: memory decides.
__device__ void product_backward(const WeightsBackwardArgs& b, const ProductFold& p, int share) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Pieces pieces(p);
  for (int o = share * kWeightsWarps + static_cast<int>(threadIdx.x) / 32; o < p.out;
       o += kProductShares * kWeightsWarps) {
    const float s = math::product_scale(b.forward, p, o);
    double dot = 0;
    for (int t = 0; t < pieces.taps; ++t) {
      const int piece = o * pieces.taps + t;
      const std::int64_t at = p.weight + std::int64_t{piece} * pieces.length;
      const PulledPiece pulled = {b.dpacked + p.dmatrix + pieces.row_of(piece) * p.stride,
                                  b.forward.parameters + at, b.dparameters + at};
      const bool vector =
          aligned(pulled.gradient, 4) && aligned(pulled.parameter, 4) && aligned(pulled.to, 4);
      const int whole = vector ? pieces.length / 4 * 4 : 0;
      with_mask(p, o, [&](const auto& sees) {
        dot += pull_vectors<4>(pulled, 0, whole / 4, s, lane, sees);
        dot += pull_vectors<1>(pulled, whole, pieces.length - whole, s, lane, sees);
      });
    }
    dot = warp_sum(dot + pull_constants(b, p, pieces, o, s, lane));
    if (lane == 0 && p.log_scale >= 0)
      b.dparameters[p.log_scale + o] =
          static_cast<float>(static_cast<double>(p.gain) * static_cast<double>(s) * dot);
  }
}

__global__ void __launch_bounds__(kWeightsThreads, 3)
    weights_prepare_backward_kernel(WeightsBackwardArgs b) {
  RHEO_SHARED(double, near, [kNearDoubles]);
  RHEO_SHARED(Partial, partial, [kSlabRows]);
  const Share share(b.forward);
  if (share.mix)
    mix_backward(b, b.forward.mixes[share.index], share.share, near, partial);
  else
    product_backward(b, b.forward.products[share.index], share.share);
}

}  // namespace

void weights_prepare_backward(const WeightsBackwardArgs& b, Stream stream) {
  launch(weights_prepare_backward_kernel, weights_blocks(b.forward), kWeightsThreads, 0, stream, b);
}

}  // namespace rheo::cuda
