#pragma once

// The matrix products of the coupling networks, with what is fused into them.

#include <cstdint>

#include "kernels/view.h"

namespace rheo {

/// y = x W^T + bias, then optionally ReLU.
struct LinearArgs {
  std::int64_t rows;
  int in;
  int out;
  Dtype type;          // of x and weight
  const void* x;       // [rows, in]
  const void* weight;  // [out, in]
  const float* bias;   // [out]; null: none
  bool relu;
  Dtype y_type;
  void* y;  // [rows, out]
};

/// dx = dy W, zero where the ReLU in front of the layer let nothing through.
struct LinearBackwardDataArgs {
  std::int64_t rows;
  int in;
  int out;
  Dtype type;          // of dy and weight
  const void* dy;      // [rows, out]
  const void* weight;  // [out, in]
  const void* x;  // [rows, in] of type dx_type: the layer's input after its ReLU; null: no ReLU
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
