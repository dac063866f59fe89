#pragma once

// The element types that Dtype names, on the device.

#include <cuda_bf16.h>

#include "kernels/view.h"

namespace rheo::cuda {

inline __device__ float to_float(float x) {
  return x;
}
inline __device__ float to_float(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

inline __device__ void round_to(float& to, float x) {
  to = x;
}
inline __device__ void round_to(__nv_bfloat16& to, float x) {
  to = __float2bfloat16_rn(x);
}

/// Calls f with a null pointer to the type that `type` names.
template <class F>
void with_type(Dtype type, const F& f) {
  if (type == Dtype::f32)
    f(static_cast<float*>(nullptr));
  else
    f(static_cast<__nv_bfloat16*>(nullptr));
}

}  // namespace rheo::cuda
