#pragma once

#include "cublasLt.h"

namespace simt {

/// d = alpha op(a) op(b) + beta c behind an epilogue; all by columns, c laid out as d.
struct Gemm {
  cublasLtMatmulDescOpaque_t operation;
  float alpha, beta;
  const void *a, *b, *c;
  void* d;
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout, d_layout;
};

void run(const Gemm& gemm);

}  // namespace simt
