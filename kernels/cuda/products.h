#pragma once

// Matrix products by cuBLASLt, and by a plain kernel of our own where it has no algorithm.

#include <cublasLt.h>

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/view.h"

namespace rheo::cuda {

/// Which operands are taken transposed, a then b. All are dense and row by row.
enum class Form : int {
  nt,  // c [m, n] = a [m, k] b [n, k]^T:  a layer
  nn,  // c [m, n] = a [m, k] b [k, n]:    the gradient of its input
  tn,  // c [m, n] += a [k, m]^T b [k, n]: the gradient of its weight
};

/// Summed in float32, of inputs as they are: never rounded to TF32.
struct Product {
  Form form;
  std::int64_t m, n, k;
  Dtype type;    // of a and b
  Dtype c_type;  // of c and bias
  cublasLtEpilogue_t epilogue;

  bool operator==(const Product&) const = default;
};

struct Operands {
  const void* a;
  const void* b;
  void* c;
  const void* bias;  // [n], for epilogues with a bias
  const void* mask;  // relu_mask_bytes(m, n): RELU_AUX writes it, DRELU reads it
};

/// Queues a product with its epilogue. False: cuBLASLt has no algorithm, or bias or mask are not on
/// 16 bytes, and nothing was queued.
bool multiply_fused(const Context& context, const Product& product, const Operands& operands,
                    Stream stream);

/// Queues a product without an epilogue, of whatever sizes and alignment.
void multiply(const Context& context, Product product, const Operands& operands, Stream stream);

}  // namespace rheo::cuda
