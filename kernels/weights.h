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
// where w = sum over images of dL/dlog_det (-1 for L = -mean log p).
//
// Product: a convolution and the scale behind it, s_o = exp(gain log_scale_o), as the matrix
// W'_o = s_o W_o of a product; then dW_o = s_o dW'_o and, since s multiplies weight, bias and edge
// alike, dlog_scale_o = gain (<dW'_o, W'_o> + dbias'_o bias'_o + <dedge'_o, edge'_o>).

#include <cmath>
#include <cstdint>

#include "kernels/hd.h"
#include "kernels/view.h"

namespace rheo {

/// Offsets of one ActNorm and 1x1 into the parameters, the constants and the folded values.
struct MixFold {
  std::int64_t bias, log_scale, lower, upper, log_diagonal;  // into parameters
  std::int64_t sign;                                         // into signs
  std::int64_t permutation;                                  // into permutations
  std::int64_t mix;      // [C, C] into folded: M;    its gradient G
  std::int64_t inverse;  // [C, C] into folded: M^-1; no gradient
  std::int64_t sum;      // [C]    into folded: unused; its gradient sum dy
  std::int64_t room;     // [4, C, C] into workspace
  int channels;
  std::int64_t pixels;  // P, of one image
};

/// How the matrix of a product lies in memory.
enum class ProductLayout : int {
  columns,  // [out, stride]: against Columns, bias and edge in their constant columns
  taps,     // [taps * out, in], row t * out + o; bias [out] and edge [taps * out] beside it
};

/// Offsets of one convolution into the parameters, and of its product into the packed matrices.
struct ProductFold {
  std::int64_t weight, bias, log_scale;  // into parameters: [out, taps, in], [out], [out]
  std::int64_t edge;                     // [out, taps] into parameters; -1: none
  std::int64_t matrix;                   // bytes into packed
  std::int64_t dmatrix;                  // into dpacked, where it is float32 whatever `type` is
  std::int64_t linear_bias;              // [out] of `type`, bytes into packed; -1: not wanted there
  std::int64_t folded_bias;              // [out] into folded;        taps layout only
  std::int64_t folded_edge;              // [taps * out] into folded; taps layout with edge only
  int out, taps, in;
  int stride;  // of a row of the matrix
  float gain;  // 1, or 3 behind conv3 and the split
  ProductLayout layout;
  Dtype type;  // of the matrix
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
  double* log_det;    // [mix_count] P (sum log_scale + sum log_diagonal)
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
  return std::exp(static_cast<double>(a.parameters[m.log_scale + j]));
}

/// What output o of a product is multiplied by.
RHEO_HD float product_scale(const WeightsArgs& a, const ProductFold& p, int o) {
  return std::exp(p.gain * a.parameters[p.log_scale + o]);
}

}  // namespace math

}  // namespace rheo
