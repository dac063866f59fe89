#pragma once

#include <cstdint>

#include "rheo/config.h"
#include "rheo/device.h"
#include "rheo/export.h"
#include "rheo/stream.h"

namespace rheo {

// The pieces of a flow step by themselves, on anyone's memory: device pointers on a CUDA device,
// host pointers on the CPU. All float32, dense, NHWC; queued on `stream`, which is null on the CPU.

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

}  // namespace rheo
