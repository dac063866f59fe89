#pragma once

// What is made of the parameters once after each update, and their gradients made of its gradients:
// everything small is folded into the matrices that pixels meet.
//
// Mix: ActNorm and the invertible 1x1 convolution, y = M (z + bias), M = W diag(exp(log_scale)),
// W = Perm L U. With G = sum dy (z + bias)^T over all pixels and images, and P pixels an image:
//   dW = G diag(exp(log_scale))        dlog_scale_j = sum_i M_ij G_ij + P w
//   dbias = M^T sum dy                 A = Perm^T dW
//   dlower = strictly lower of A U^T   dU = upper of L^T A
//   dlog_diagonal_j = dU_jj U_jj + P w
// where w = sum over images of dL/dlog_det (-1 for L = -mean log p). Without ActNorm its scale is 1
// and its bias 0; without L and U, W = Perm.
//
// Product: a convolution and the scale behind it, s_o = exp(gain log_scale_o), as the matrix
// W'_o = s_o W_o of a product; then dW_o = s_o dW'_o and, since s multiplies weight, bias and edge
// alike, dlog_scale_o = gain (<dW'_o, W'_o> + dbias'_o bias'_o + <dedge'_o, edge'_o>). Without a
// learned scale s_o = gain.
//
// The weights of a product may be masked (MADE: Germain et al. 2015, arXiv:1502.03509), so that a
// chain of them, seen as a network from D numbers to one or more values for each of them, gives the
// values for number c from the numbers before it alone. What the mask hides counts as 0, whatever
// the parameter holds, and has the gradient 0.

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/view.h"

namespace rheo {

/// Offsets of one ActNorm and 1x1 into the parameters, the constants and the folded values.
struct MixFold {
  std::int64_t bias, log_scale;             // into parameters; both -1: no ActNorm
  std::int64_t lower, upper, log_diagonal;  // into parameters; all -1: W = Perm
  std::int64_t sign;                        // into signs; unused where W = Perm
  std::int64_t permutation;                 // into permutations
  std::int64_t mix;                         // [C, C] into folded: M;    its gradient G
  std::int64_t inverse;                     // [C, C] into folded: M^-1; no gradient
  std::int64_t folded_bias;  // [C] into folded: the bias (0 without ActNorm); its gradient: sum dy
  std::int64_t room;         // [4, C, C] into workspace; unused where W = Perm
  int channels;
  std::int64_t pixels;  // P, of one image

  RHEO_HD bool has_actnorm() const { return log_scale >= 0; }
  RHEO_HD bool has_factors() const { return lower >= 0; }
};

/// How the matrix of a product lies in memory.
enum class ProductLayout : int {
  columns,  // [out, stride]: against Columns, bias and edge in their constant columns
  taps,     // [rows, in], row t * out + o; bias [out] and edge [taps * out] beside it
};

/// Which layer of a MADE network a product is. Of its D inputs, number i (from 0) has degree i + 1;
/// hidden unit h has degree 1 + h mod (D - 1), or 1 where D is 1; output o is of number c = o mod
/// D. A hidden unit sees inputs and hidden units of degrees up to its own, an output sees hidden
/// units of degrees up to c.
enum class MadeLayer : int { none, input, hidden, output };

/// Offsets of one convolution into the parameters, and of its product into the packed matrices.
struct ProductFold {
  std::int64_t weight, bias;  // into parameters: [out, taps, in], [out]
  std::int64_t log_scale;     // [out] into parameters; -1: none
  std::int64_t edge;          // [out, taps] into parameters; -1: none
  std::int64_t matrix;        // bytes into packed
  std::int64_t dmatrix;       // into dpacked, where it is float32 whatever `type` is
  std::int64_t linear_bias;   // [out] of `type`, bytes into packed; -1: not wanted there
  std::int64_t folded_bias;   // [out] into folded;        taps layout only
  std::int64_t folded_edge;   // [taps * out] into folded; taps layout with edge only
  int out, taps, in;
  int rows;    // of the matrix: out; with taps layout taps * out, and then rows that
               // nobody writes and that are zero from the start
  int stride;  // of a row
  float gain;  // 1, or 3 behind conv3 and the split; without log_scale what outputs are scaled by
  ProductLayout layout;
  Dtype type;                        // of the matrix
  MadeLayer made = MadeLayer::none;  // else taps = 1
  int made_dims = 0;                 // D
};

struct WeightsArgs {
  const MixFold* mixes;
  const ProductFold* products;
  int mix_count;
  int product_count;
  const float* parameters;
  const float* signs;
  const int* permutations;
  float* folded;      // matrices of mixes, folded biases and edges
  void* packed;       // matrices of products
  double* log_det;    // [mix_count] P (sum log_scale + sum log_diagonal), of what there is
  double* workspace;  // of the mixes, at their `room`
};

struct WeightsBackwardArgs {
  WeightsArgs forward;   // as prepared
  const float* dfolded;  // laid out as folded
  const float* dpacked;
  double dlog_det;     // w
  float* dparameters;  // written, not added to
};

namespace math {

/// Of row j of U.
RHEO_HD double mix_diagonal(const WeightsArgs& a, const MixFold& m, int j) {
  return static_cast<double>(a.signs[m.sign + j]) *
         std::exp(static_cast<double>(a.parameters[m.log_diagonal + j]));
}

/// What ActNorm multiplies channel j by.
RHEO_HD double mix_scale(const WeightsArgs& a, const MixFold& m, int j) {
  return m.has_actnorm() ? std::exp(static_cast<double>(a.parameters[m.log_scale + j])) : 1;
}

/// What ActNorm adds to channel j.
RHEO_HD float mix_bias(const WeightsArgs& a, const MixFold& m, int j) {
  return m.has_actnorm() ? a.parameters[m.bias + j] : 0.f;
}

/// What channel j adds to the log-det of one pixel.
RHEO_HD double mix_log_det(const WeightsArgs& a, const MixFold& m, int j) {
  return (m.has_actnorm() ? static_cast<double>(a.parameters[m.log_scale + j]) : 0) +
         (m.has_factors() ? static_cast<double>(a.parameters[m.log_diagonal + j]) : 0);
}

/// Writes the gradients of ActNorm in front of W = Perm for the channel that becomes channel i: of
/// its column of M one entry is not 0.
RHEO_HD void permutation_backward(const WeightsBackwardArgs& b, const MixFold& m, int i) {
  const int j = b.forward.permutations[m.permutation + i];
  const std::int64_t ij = m.mix + std::int64_t{i} * m.channels + j;
  const double m_ij = static_cast<double>(b.forward.folded[ij]);
  b.dparameters[m.log_scale + j] = static_cast<float>(b.dlog_det * static_cast<double>(m.pixels) +
                                                      m_ij * static_cast<double>(b.dfolded[ij]));
  b.dparameters[m.bias + j] =
      static_cast<float>(m_ij * static_cast<double>(b.dfolded[m.folded_bias + i]));
}

/// What output o of a product is multiplied by.
RHEO_HD float product_scale(const WeightsArgs& a, const ProductFold& p, int o) {
  return p.log_scale < 0 ? p.gain : std::exp(p.gain * a.parameters[p.log_scale + o]);
}

/// What an output of a masked product sees: the first `seen` of each `period` inputs.
struct MadeRow {
  float per_period;  // 1 / period
  int period, seen;

  RHEO_HD bool sees(int in) const {
    // in mod period, but in float arithmetic so that loops vectorise: half an input off any whole
    // period, the quotient does not round to one below 2^22 inputs.
    const int whole = static_cast<int>((static_cast<float>(in) + 0.5f) * per_period);
    return in - whole * period < seen;
  }
};

RHEO_HD MadeRow made_row(const ProductFold& p, int out) {
  const int dims = p.made_dims, degrees = dims > 1 ? dims - 1 : 1;
  const int period = p.made == MadeLayer::input ? dims : degrees;
  const int seen = p.made == MadeLayer::output ? out % dims : 1 + out % degrees;
  return {1.f / static_cast<float>(period), period, seen};
}

/// Whether an output of a product sees an input.
RHEO_HD bool made_sees(const ProductFold& p, int out, int in) {
  return p.made == MadeLayer::none || made_row(p, out).sees(in);
}

}  // namespace math

}  // namespace rheo
