// The arithmetic of the stand-in for cuBLASLt: sums in double, term after term.

#include "gemm.h"

#include <algorithm>
#include <vector>

#include "cuda_bf16.h"

namespace simt {
namespace {

float value_at(const void* data, cudaDataType_t type, std::int64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
}

void put(void* data, cudaDataType_t type, std::int64_t i, float x) {
  if (type == CUDA_R_32F)
    static_cast<float*>(data)[i] = x;
  else
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(x);
}

/// A matrix, line after line: its columns, or its rows where `rows`. Sanitizers see every read.
std::vector<float> lines_of(const void* data, const cublasLtMatrixLayoutOpaque_t& l, bool rows) {
  std::vector<float> lines(static_cast<std::size_t>(l.rows * l.columns));
  for (std::int64_t c = 0; c < l.columns; ++c)
    for (std::int64_t r = 0; r < l.rows; ++r)
      lines[rows ? r * l.columns + c : c * l.rows + r] = value_at(data, l.type, c * l.ld + r);
  return lines;
}

/// sums[i] = sum over l of a[l * m + i] b[l], on memory of our own: nothing for a sanitizer to
/// find, and the one loop where its price would be felt.
__attribute__((optimize("O3"), no_sanitize("address", "undefined", "thread"))) void column(
    const float* __restrict a, const float* __restrict b, std::int64_t m, std::int64_t k,
    double* __restrict sums) {
  for (std::int64_t i = 0; i < m; ++i) sums[i] = 0;
  for (std::int64_t l = 0; l < k; ++l) {
    const double factor = b[l];
    const float* line = a + l * m;
    for (std::int64_t i = 0; i < m; ++i) sums[i] += factor * line[i];
  }
}

/// Bits of a column of the mask. Zero in front of the ReLU and what lies behind the last row are
/// the library's affair; here the bits are set, so that no caller takes them for clear.
void write_mask(unsigned char* mask, std::int64_t pitch, const std::vector<float>& values) {
  std::fill_n(mask, pitch, static_cast<unsigned char>(0xff));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0)) mask[i / 8] &= static_cast<unsigned char>(~(1u << i % 8));
}

void finish_column(const Gemm& g, std::int64_t j, std::vector<float>& values) {
  const cublasLtMatmulDescOpaque_t& op = g.operation;
  const std::int64_t m = g.d_layout.rows, first = j * g.d_layout.ld, pitch = op.aux_ld / 8;
  const cudaDataType_t type = g.d_layout.type;
  auto* mask = static_cast<unsigned char*>(op.aux) + j * pitch;
  if (g.beta != 0)
    for (std::int64_t i = 0; i < m; ++i) values[i] += g.beta * value_at(g.c, type, first + i);
  if (op.epilogue & CUBLASLT_EPILOGUE_BIAS)
    for (std::int64_t i = 0; i < m; ++i) values[i] += value_at(op.bias, type, i);
  if (op.epilogue == CUBLASLT_EPILOGUE_DRELU) {
    for (std::int64_t i = 0; i < m; ++i)
      if (!(mask[i / 8] >> i % 8 & 1)) values[i] = 0;
  } else if (op.epilogue & CUBLASLT_EPILOGUE_RELU) {
    if (op.aux) write_mask(mask, pitch, values);
    for (float& value : values) value = value > 0 ? value : 0;  // NaN too, as it may there
  }
  for (std::int64_t i = 0; i < m; ++i) put(g.d, type, first + i, values[i]);
}

}  // namespace

void run(const Gemm& g) {
  const std::vector<float> a = lines_of(g.a, g.a_layout, g.operation.turned_a);
  const std::vector<float> b = lines_of(g.b, g.b_layout, g.operation.turned_b);
  const std::int64_t m = g.d_layout.rows;
  const std::int64_t k = g.operation.turned_a ? g.a_layout.rows : g.a_layout.columns;
  std::vector<double> sums(static_cast<std::size_t>(m));
  std::vector<float> values(sums.size());
  for (std::int64_t j = 0; j < g.d_layout.columns; ++j) {
    column(a.data(), b.data() + j * k, m, k, sums.data());
    for (std::int64_t i = 0; i < m; ++i) values[i] = g.alpha * static_cast<float>(sums[i]);
    finish_column(g, j, values);
  }
}

}  // namespace simt
