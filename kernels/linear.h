#pragma once

// The matrix products of the coupling networks, with what is fused into them.

#include <cstdint>

#include "kernels/view.h"

namespace rheo {

/// Bytes of the mask of a ReLU: a bit for each y, the lowest of a byte first, set where y > 0; rows
/// of whole 128 bits. Exactly zero in front of the ReLU may set its bit or not. Only backends with
/// Backend::relu_masks write and read masks.
constexpr std::int64_t relu_mask_bytes(std::int64_t rows, int out) {
  return rows * ((out + 127) / 128 * 16);
}

/// A weight in the form that a backend's linear_forward reads fastest (Backend::pack).
struct LinearPack {
  int in;
  int out;
  Dtype type;
  const void* weight;  // [out, in]
  void* packed;        // Backend::packed_bytes of it, 64-byte aligned; null: none are wanted
};

/// y = x W^T + bias, then optionally ReLU, which may make 0 of NaN: backward_data passes it on.
struct LinearArgs {
  std::int64_t rows;
  int in;
  int out;
  Dtype type;          // of x and weight
  const void* x;       // [rows, in]
  const void* weight;  // [out, in]
  const void* packed;  // of `weight`, and read in its place; null: none
  const void* bias;    // [out] of y_type; null: none
  bool relu;
  Dtype y_type;
  void* y;     // [rows, out]
  void* mask;  // of `relu`, relu_mask_bytes(rows, out), for backward; null: not wanted
};

/// dx = dy W, zero where the ReLU in front of the layer let nothing through.
struct LinearBackwardDataArgs {
  std::int64_t rows;
  int in;
  int out;
  Dtype type;          // of dy and weight
  const void* dy;      // [rows, out]
  const void* weight;  // [out, in]
  const void* x;     // [rows, in] of type dx_type: the layer's input after its ReLU; null: no ReLU
  const void* mask;  // as linear_forward made it beside x; null: found from x
  Dtype dx_type;
  void* dx;  // [rows, in]
};

/// dW += dy^T x, dbias += column sums of dy.
struct LinearBackwardWeightsArgs {
  std::int64_t rows;
  int in;
  int out;
  Dtype type;      // of dy and x
  const void* dy;  // [rows, out]
  const void* x;   // [rows, in]
  float* dweight;  // [out, in] added to
  float* dbias;    // [out] added to; null: not wanted
};

}  // namespace rheo
