#pragma once

// Matrix products by oneDNN. Each call runs on the calling thread alone: the operations cut their
// work into tiles and give a tile to each thread. The order of a row's sums is the same for any
// number of rows that product_rows() allows, so that bits depend neither on the batch nor on the
// number of threads; that of a weight gradient's is not, so that its tiles are fixed by the shape
// (tests/linear_test.cpp).

#include <cstddef>
#include <cstdint>

#include "kernels/view.h"

namespace rheo::cpu {

/// What oneDNN computes products on: the order of their sums goes with it.
enum class Products : int { baseline, avx2, avx512, amx };
Products products_run_on();

/// Whether those of bf16 are the machine's own instructions.
bool products_have_bf16();

/// Rows that oneDNN's kernels compute alike. Its products of float32 without AVX-512 take 6 rows at
/// a time, or 12 that they halve, and what is left over in another order of sums.
std::int64_t product_row_unit();

/// Rows of each product but the last, of `rows` in all: near `tile`, so many that each of `threads`
/// gets about as much. What they and the last one have is a multiple of product_row_unit().
std::int64_t product_rows(std::int64_t rows, std::int64_t tile, int threads);

/// c (+)= a b (+ bias, then ReLU); any of a, b may be transposed by its steps.
struct Product {
  std::int64_t m, n, k;
  Dtype type;  // of a and b
  Dtype c_type;
  std::int64_t a_row, a_col;  // a is [m, k]: steps between its rows and columns
  std::int64_t b_row, b_col;  // b is [k, n]
  std::int64_t c_row;         // c is [m, n], dense in a row
  bool b_packed = false;      // b is as `pack` left it
  bool bias = false;          // [n] of c_type
  bool relu = false;
  bool accumulate = false;  // c += in place of c =

  bool operator==(const Product&) const = default;
};

/// x W^T, both dense: x [rows, in] and W [out, in] of `type`.
Product layer_product(std::int64_t rows, int in, int out, Dtype type, Dtype y_type);

/// A compiled product, kept for the life of the process.
struct CompiledProduct;

/// Compiles, or finds what was compiled before. Call it outside parallel loops.
/// @throws Error device, with oneDNN's reason.
const CompiledProduct& compile(const Product& product);

/// How a product ended. A parallel loop keeps the worst of its products.
enum class Outcome : int { done, failed, no_room };

/// Inside a parallel loop or outside. Never throws.
Outcome run(const CompiledProduct& product, const void* a, const void* b, const void* bias,
            void* c);

/// The same where a and c, dense, have only the first `rows` rows of the product's, which does not
/// accumulate.
Outcome run_rows(const CompiledProduct& product, std::int64_t rows, const void* a, const void* b,
                 const void* bias, void* c);

/// b of `product` in the form that oneDNN would have to bring it into at each call otherwise. The
/// form depends on n, k and the type alone.
struct CompiledPacking;

/// As `compile`.
const CompiledPacking& compile_packing(const Product& product);

/// Bytes of a packed b; 0: oneDNN likes it as it is.
std::size_t packed_bytes(const CompiledPacking& packing);

/// As `run`.
Outcome run(const CompiledPacking& packing, const void* b, void* packed);

/// Throws Error device or out_of_memory unless `outcome` is done.
void check_products(Outcome outcome, const char* operation);

}  // namespace rheo::cpu
