#pragma once

#include <cstddef>
#include <cstdint>

#include "rheo/config.h"
#include "rheo/device.h"
#include "rheo/export.h"
#include "rheo/stream.h"

namespace rheo {

// The pieces of a flow step, of its networks and of its training by themselves, on anyone's memory:
// device pointers on a CUDA device, host pointers on the CPU. All float32, dense, NHWC; queued on
// `stream`, which is null on the CPU.

/// An affine or additive coupling (RealNVP, arXiv:1605.08803, eqs. 4-5; Glow, arXiv:1807.03039,
/// table 1): the first C/2 channels pass, the second move, b' = (b + shift) s, or with Scale::tanh
/// b' = b s + shift.
struct CouplingCall {
  std::int64_t count;  ///< Images, N.
  int height, width;   ///< P = N height width pixels.
  int channels;        ///< C, even.
  Coupling coupling;
  Scale scale;           ///< Of an affine coupling: s from raw.
  const float* network;  ///< [P, C]: shift, then raw; [P, C/2] when additive: shift.
  const float* from;     ///< [P, C]: x forward, y inverse.
  float* to;             ///< [P, C]; may be `from`.
  float* log_det;        ///< Forward: [N, coupling_partials], written, in nats. Inverse: unused.
  const float* gain = nullptr;  ///< [1]: g of Scale::tanh.
};

/// Partial sums that coupling_forward leaves an image, for log_det_sum.
RHEO_API int coupling_partials(int height, int width);

/// @throws Error invalid_argument for a size out of range or a null pointer.
RHEO_API void coupling_forward(const Device& device, const CouplingCall& call, Stream stream);
RHEO_API void coupling_inverse(const Device& device, const CouplingCall& call, Stream stream);

/// An ActNorm and 1x1 convolution as one matrix: forward y = M (x + bias), inverse x = M y - bias,
/// for which M is the inverse matrix. Its log-det is a constant of M, times the pixels of an image.
struct MixCall {
  std::int64_t pixels;  ///< P.
  int channels;         ///< C.
  const float* matrix;  ///< [C, C], row i makes output i.
  const float* bias;    ///< [C]
  const float* from;    ///< [P, C]
  float* to;            ///< [P, C]; may be `from`.
};

/// @throws Error as coupling_forward.
RHEO_API void mix_forward(const Device& device, const MixCall& call, Stream stream);
RHEO_API void mix_inverse(const Device& device, const MixCall& call, Stream stream);

/// sums[n] = sum of partials[n, 0 .. per_image - 1], in a fixed order, in double.
/// @throws Error as coupling_forward.
RHEO_API void log_det_sum(const Device& device, const float* partials, std::int64_t count,
                          int per_image, double* sums, Stream stream);

/// A dense layer, y = x W^T + bias, and ReLU on top of it where wanted. Products are summed in
/// float32; on the CPU a row's bits depend neither on the other rows nor on the threads.
struct LinearCall {
  std::int64_t rows;            ///< R; 0 does nothing, here and below.
  int in, out;                  ///< Sizes I and O, at most 65536 each, here and below.
  const float* x;               ///< [R, I]
  const float* weight;          ///< W [O, I]
  float* y;                     ///< [R, O], apart from x.
  const float* bias = nullptr;  ///< [O]; null: none.
  bool relu = false;            ///< y = max(0, .), which may make 0 of NaN.
};

/// @throws Error as coupling_forward; on CUDA, where the scratch memory of products belongs to the
/// null stream, invalid_argument for any other.
RHEO_API void linear_forward(const Device& device, const LinearCall& call, Stream stream);

/// The loss's gradient by a layer's input, dx = dy W.
struct LinearBackwardDataCall {
  std::int64_t rows;
  int in, out;
  const float* dy;           ///< [R, O]
  const float* weight;       ///< [O, I]
  float* dx;                 ///< [R, I], apart from dy.
  const float* x = nullptr;  ///< [R, I]: where the input comes from a ReLU, that input: dx is zero
                             ///< where it is not positive. Null: no ReLU.
};

/// @throws Error as linear_forward.
RHEO_API void linear_backward_data(const Device& device, const LinearBackwardDataCall& call,
                                   Stream stream);

/// Adds the gradients by weight and bias: dweight += dy^T x, dbias += column sums of dy.
struct LinearBackwardWeightsCall {
  std::int64_t rows;
  int in, out;
  const float* dy;         ///< [R, O]
  const float* x;          ///< [R, I]
  float* dweight;          ///< [O, I], added to.
  float* dbias = nullptr;  ///< [O], added to; null: not wanted.
};

/// @throws Error as linear_forward.
RHEO_API void linear_backward_weights(const Device& device, const LinearBackwardWeightsCall& call,
                                      Stream stream);

/// One update of Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) over one flat buffer.
struct AdamCall {
  std::int64_t size;      ///< K.
  const float* gradient;  ///< [K]
  float* parameters;      ///< [K], changed.
  float* first;           ///< [K], changed: the first moment, zero before the first update.
  float* second;          ///< [K], likewise.
  void* state;            ///< adam_state_bytes(), aligned to 8: zero before the first update.
  double learning_rate;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 0;  ///< Largest norm of the gradient; 0: none.
};

/// Bytes that Adam keeps between updates beside the moments: the number of updates, and sums.
RHEO_API std::size_t adam_state_bytes();

/// Changes nothing where a value of the gradient or a parameter is not finite, or where the squares
/// of the gradient, clipped, sum to over 1e38, about what float32 can hold.
/// @throws Error invalid_argument for a size or an option out of range or a null pointer.
RHEO_API void adam_update(const Device& device, const AdamCall& call, Stream stream);

}  // namespace rheo
