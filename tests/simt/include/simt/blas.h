#pragma once

// What a test says to the stand-in for cuBLASLt. It throws simt::error for a call that breaks a
// rule of the library, so that no caller can take its own mistake for a product without an
// algorithm.

namespace simt {

/// What cuBLASLt has algorithms for; who asks is free to remember an answer. The default is
/// RHEO_SIMT_BLAS of the environment (by these names), or everything. Even then it declines bf16 at
/// addresses or in rows of odd numbers of values, and DRELU of products of one term.
enum class Blas { everything, no_masks, no_epilogues, nothing };
void set_blas(Blas);

struct BlasCalls {
  int products;    // queued so far
  int configured;  // of them by an algorithm that the caller configured
  int questions;   // for suggestions
};
BlasCalls blas_calls();

}  // namespace simt
