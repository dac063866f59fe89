// cuBLASLt's calls: what they are told is checked here, at once; the arithmetic is gemm.cpp's and
// waits in the stream.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "gemm.h"
#include "simt/blas.h"
#include "simt/control.h"

namespace simt {
namespace {

constexpr std::size_t kWorkspace = 4096;  // that every product asks for, and overwrites
constexpr int kOnlyAlgorithm = 1;

Blas blas_of_environment() {
  const char* text = std::getenv("RHEO_SIMT_BLAS");
  const std::string name = text ? text : "everything";
  if (name == "everything") return Blas::everything;
  if (name == "no_masks") return Blas::no_masks;
  if (name == "no_epilogues") return Blas::no_epilogues;
  if (name == "nothing") return Blas::nothing;
  throw error("RHEO_SIMT_BLAS is '" + name + "'; see simt/blas.h");
}

std::atomic<Blas>& blas() {
  static std::atomic<Blas> value = blas_of_environment();
  return value;
}

std::atomic<int> products, configured, questions;

void demand(bool holds, const char* rule) {
  if (!holds) throw error(std::string("cuBLASLt: ") + rule);
}

bool is_type(cudaDataType_t type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF;
}

bool has_bias(std::uint32_t epilogue) {
  return epilogue & CUBLASLT_EPILOGUE_BIAS;
}
bool has_aux(std::uint32_t epilogue) {
  return epilogue & (CUBLASLT_EPILOGUE_RELU_AUX & CUBLASLT_EPILOGUE_DRELU);
}

/// Largest power of two that divides an address or a distance.
std::uint64_t alignment_of(std::uint64_t bits) {
  return bits & -bits;
}
std::uint64_t alignment_of(const void* pointer) {
  return alignment_of(reinterpret_cast<std::uintptr_t>(pointer));
}

/// That the library takes the operand of an epilogue to have whenever it is given one: all that it
/// sees, up to what it could make use of.
std::uint32_t promised_by(const void* pointer) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(alignment_of(pointer), 256));
}

void check_layout(const cublasLtMatrixLayoutOpaque_t& l) {
  demand(is_type(l.type), "a matrix of float32 or bf16");
  demand(l.rows > 0 && l.columns > 0, "a matrix of at least one row and column");
  demand(l.ld >= l.rows, "a leading dimension of at least the rows");
}

void check_epilogue(const cublasLtMatmulDescOpaque_t& op, const cublasLtMatrixLayoutOpaque_t& d) {
  demand(!has_bias(op.epilogue) || op.bias, "a bias for an epilogue with one");
  demand(!has_bias(op.epilogue) || alignment_of(op.bias) >= 16,
         "a bias that is aligned to 16 bytes");
  if (!has_aux(op.epilogue)) return;
  demand(op.aux, "a mask for an epilogue with one");
  demand(op.aux_ld % 128 == 0 && op.aux_ld >= d.rows, "a mask of whole 128 bits a column");
  demand(alignment_of(op.aux) >= 16, "a mask that is aligned to 16 bytes");
}

void check_product(const cublasLtMatmulDescOpaque_t& op, const cublasLtMatrixLayoutOpaque_t& a,
                   const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& c,
                   const cublasLtMatrixLayoutOpaque_t& d) {
  for (const auto* layout : {&a, &b, &c, &d}) check_layout(*layout);
  demand(a.type == b.type, "operands of one type");
  demand(c.type == d.type && c.rows == d.rows && c.columns == d.columns && c.ld == d.ld,
         "c and d of one shape and type");
  demand((op.turned_a ? a.columns : a.rows) == d.rows, "rows of d as op(a) has them");
  demand((op.turned_b ? b.rows : b.columns) == d.columns, "columns of d as op(b) has them");
  demand((op.turned_a ? a.rows : a.columns) == (op.turned_b ? b.columns : b.rows),
         "columns of op(a) as op(b) has rows");
  check_epilogue(op, d);
}

/// Whether there is an algorithm, for operands of such alignment.
bool has_algorithm(const cublasLtMatmulDescOpaque_t& op, const cublasLtMatrixLayoutOpaque_t& a,
                   const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& d,
                   const std::uint32_t* alignment) {
  const Blas has = blas();
  if (has == Blas::nothing) return false;
  if (has == Blas::no_epilogues && op.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return false;
  if (has == Blas::no_masks && has_aux(op.epilogue)) return false;
  const std::int64_t terms = op.turned_a ? a.rows : a.columns;
  if (op.epilogue == CUBLASLT_EPILOGUE_DRELU && terms == 1) return false;
  if (a.type == CUDA_R_32F && d.type != CUDA_R_32F) return false;
  const cublasLtMatrixLayoutOpaque_t* layouts[] = {&a, &b, &d, &d};
  for (int i = 0; i < 4; ++i)
    if (layouts[i]->type == CUDA_R_16BF && (layouts[i]->ld % 2 || alignment[i] < 4)) return false;
  return true;
}

template <class T>
void take(T& to, const void* value, std::size_t bytes) {
  demand(bytes == sizeof(T), "an attribute of its own size");
  std::memcpy(&to, value, bytes);
}

}  // namespace

void set_blas(Blas value) {
  blas() = value;
}

BlasCalls blas_calls() {
  return {products, configured, questions};
}

}  // namespace simt

using namespace simt;

struct cublasLtContext {};

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "the operation failed";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type,
                                        std::uint64_t rows, std::uint64_t columns,
                                        std::int64_t ld) {
  *layout = {type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t operation, cublasComputeType_t compute,
                                      cudaDataType_t scale) {
  demand(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums and scales in float32");
  *operation = {.turned_a = CUBLAS_OP_N,
                .turned_b = CUBLAS_OP_N,
                .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                .bias = nullptr,
                .aux = nullptr,
                .aux_ld = 0};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      take(operation->turned_a, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      take(operation->turned_b, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      take(operation->epilogue, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      take(operation->bias, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      take(operation->aux, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      take(operation->aux_ld, value, bytes);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference) {
  *preference = {0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    take(preference->workspace, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    take(preference->reductions, value, bytes);
  else
    take(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
         bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t, cublasComputeType_t compute,
                                      cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                      cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t* algorithm) {
  demand(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums and scales in float32");
  if (a != b || c != d || id != kOnlyAlgorithm) return CUBLAS_STATUS_NOT_SUPPORTED;
  *algorithm = {a, d, true, 0, 1, CUBLASLT_REDUCTION_SCHEME_NONE, {16, 16, 16, 16, 16, 16}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  std::uint16_t unused_short;
  std::uint32_t unused;
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      take(algorithm->tile, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      take(algorithm->splits, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      take(algorithm->reduction, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID:
      take(unused_short, value, bytes);
      break;
    default:
      take(unused, value, bytes);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  check_product(*operation, *a, *b, *c, *d);
  const bool splits = algorithm->splits > 1;
  if (algorithm->type != a->type || algorithm->d_type != d->type ||
      splits != (algorithm->reduction != CUBLASLT_REDUCTION_SCHEME_NONE) ||
      !has_algorithm(*operation, *a, *b, *d, algorithm->alignment))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *result = {*algorithm, kWorkspace, CUBLAS_STATUS_SUCCESS, 1.f};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* count) {
  check_product(*operation, *a, *b, *c, *d);
  demand(!capturing(), "a choice that is made while no stream is captured");
  demand(most > 0, "room for a suggestion");
  demand(!(preference->reductions & ~unsigned{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}),
         "sums whose order and precision are fixed");
  ++questions, *count = 0;
  if (!has_algorithm(*operation, *a, *b, *d, preference->alignment))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  cublasLtMatmulAlgo_t algorithm = {a->type, d->type, false, 0, 1, CUBLASLT_REDUCTION_SCHEME_NONE,
                                    {}};
  std::copy_n(preference->alignment, 4, algorithm.alignment);
  if (has_bias(operation->epilogue)) algorithm.alignment[4] = promised_by(operation->bias);
  if (has_aux(operation->epilogue)) algorithm.alignment[5] = promised_by(operation->aux);
  results[0] = {algorithm, std::min<std::size_t>(kWorkspace, preference->workspace),
                CUBLAS_STATUS_SUCCESS, 1.f};
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  check_product(*operation, *a_layout, *b_layout, *c_layout, *d_layout);
  demand(algorithm, "an algorithm that was chosen before");
  demand(algorithm->type == a_layout->type && algorithm->d_type == d_layout->type,
         "an algorithm that was chosen for these types");
  demand(has_algorithm(*operation, *a_layout, *b_layout, *d_layout, algorithm->alignment),
         "an algorithm for this product");
  const void* pointers[] = {a, b, c, d, operation->bias, operation->aux};
  for (int i = 0; i < 6; ++i)
    demand(!pointers[i] || alignment_of(pointers[i]) >= algorithm->alignment[i],
           "operands aligned as was promised");
  demand(workspace && workspace_bytes >= kWorkspace, "the workspace that the algorithm asks for");
  demand(alignment_of(workspace) >= 256, "a workspace that is aligned to 256 bytes");
  const Gemm gemm = {*operation,
                     *static_cast<const float*>(alpha),
                     *static_cast<const float*>(beta),
                     a,
                     b,
                     c,
                     d,
                     *a_layout,
                     *b_layout,
                     *d_layout};
  ++products, configured += algorithm->configured;
  const cudaError_t queued = enqueue(stream, [gemm, workspace] {
    std::memset(workspace, 0xff, kWorkspace);  // whoever else uses it now shall notice
    run(gemm);
  });
  return queued == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
