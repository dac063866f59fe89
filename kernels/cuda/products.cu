#include "kernels/cuda/products.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "kernels/cuda/plain_product.cuh"

namespace rheo::cuda {
namespace {

/// Bytes, of the measured algorithms' operands, and the most that one is said to have: where an
/// arena happens to put it must not decide the algorithm, and with it the bits.
constexpr unsigned kLeastAlignment = 16;

unsigned alignment_of(const void* operand) {
  const auto bits = reinterpret_cast<std::uintptr_t>(operand) | kLeastAlignment;
  return static_cast<unsigned>(bits & -bits);
}

/// What an algorithm is chosen by.
struct Key {
  int device;
  Product product;
  unsigned a, b, c;  // alignments

  bool operator==(const Key&) const = default;
};

struct HashKey {
  std::size_t operator()(const Key& key) const {
    const Product& p = key.product;
    std::size_t hash = 0;
    for (std::int64_t v : {std::int64_t{key.device}, std::int64_t(p.form), p.m, p.n, p.k,
                           std::int64_t(p.type), std::int64_t(p.c_type), std::int64_t(p.epilogue),
                           std::int64_t{key.a}, std::int64_t{key.b}, std::int64_t{key.c}})
      hash = hash * 1000003 ^ static_cast<std::size_t>(v);
    return hash;
  }
};

/// How a product is done, kept for the life of the process.
struct Plan {
  cublasLtMatrixLayoutOpaque_t a, b, c;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: cuBLASLt has none
};

cudaDataType_t type_of(Dtype type) {
  return type == Dtype::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute,
         const auto& value) {
  check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
        "describe a matrix product");
}

/// cuBLASLt knows columns of columns, so that what is a row-major c = a b here is c^T = b^T a^T
/// there: our b is its first operand, our a its second.
cublasLtMatmulDescOpaque_t operation_of(const Product& p, const Operands& operands) {
  cublasLtMatmulDescOpaque_t operation;
  check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describe a matrix product");
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, p.form == Form::nt ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, p.form == Form::tn ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
  if (p.epilogue & CUBLASLT_EPILOGUE_BIAS)
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  constexpr int kAux = CUBLASLT_EPILOGUE_RELU_AUX & CUBLASLT_EPILOGUE_DRELU;
  if (p.epilogue & kAux) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.mask);
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, (p.n + 127) / 128 * 128);
  }
  return operation;
}

cublasLtMatrixLayoutOpaque_t layout_of(Dtype type, std::int64_t height, std::int64_t width) {
  cublasLtMatrixLayoutOpaque_t layout;
  check(cublasLtMatrixLayoutInit(&layout, type_of(type), static_cast<std::uint64_t>(width),
                                 static_cast<std::uint64_t>(height), width),
        "describe a matrix");
  return layout;
}

/// An algorithm of algorithms.def.
struct Measured {
  const char* gpu;
  Product product;
  int id, tile, stages, splits, reduction, swizzle, option, inner_shape, cluster_shape;
};

constexpr Measured kMeasured[] = {
#define RHEO_ALGORITHM(gpu, form, m, n, k, type, c_type, epilogue, ...) \
  {gpu, {Form::form, m, n, k, Dtype::type, Dtype::c_type, epilogue}, __VA_ARGS__},
#include "kernels/cuda/algorithms.def"
#undef RHEO_ALGORITHM
};

template <class T>
bool set(cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute,
         int value) {
  const T typed = static_cast<T>(value);
  return cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &typed, sizeof typed) ==
         CUBLAS_STATUS_SUCCESS;
}

/// Nothing where this cuBLASLt does not know it.
std::optional<cublasLtMatmulAlgo_t> restore(const Context& context, const Measured& line) {
  const cudaDataType_t type = type_of(line.product.type), c_type = type_of(line.product.c_type);
  cublasLtMatmulAlgo_t algorithm;
  if (cublasLtMatmulAlgoInit(context.blas, CUBLAS_COMPUTE_32F, CUDA_R_32F, type, type, c_type,
                             c_type, line.id, &algorithm) != CUBLAS_STATUS_SUCCESS)
    return std::nullopt;
  const bool known =
      set<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, line.tile) &&
      set<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID, line.stages) &&
      set<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, line.splits) &&
      set<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, line.reduction) &&
      set<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, line.swizzle) &&
      set<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, line.option) &&
      set<std::uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, line.inner_shape) &&
      set<std::uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, line.cluster_shape);
  if (!known) return std::nullopt;
  return algorithm;
}

/// While it chooses, cuBLASLt reads off the pointers to bias and mask how those are aligned, and
/// does not follow them (cublasLt.h, CUBLASLT_MATMUL_DESC_BIAS_POINTER). A plan is for all of them,
/// so it must not see one that happens to lie better.
void* stand_in() {
  return reinterpret_cast<void*>(std::uintptr_t{1 << 20} + kLeastAlignment);
}

std::optional<cublasLtMatmulAlgo_t> measured(const Context& context, const Key& key,
                                             cublasLtMatmulDescOpaque_t& operation, Plan& plan) {
  if (std::min({key.a, key.b, key.c}) < kLeastAlignment) return std::nullopt;
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, key.device), "ask for a GPU's properties");
  for (const Measured& line : kMeasured) {
    if (!(line.product == key.product) || std::strcmp(line.gpu, properties.name) != 0) continue;
    const auto algorithm = restore(context, line);
    cublasLtMatmulHeuristicResult_t result;
    if (algorithm &&
        cublasLtMatmulAlgoCheck(context.blas, &operation, &plan.b, &plan.a, &plan.c, &plan.c,
                                &*algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
        result.workspaceSize <= context.workspace_bytes)
      return algorithm;
  }
  return std::nullopt;
}

/// What cuBLASLt would take for the fastest, of those that add in a fixed order and in float32.
std::optional<cublasLtMatmulAlgo_t> suggested(const Context& context, const Key& key,
                                              cublasLtMatmulDescOpaque_t& operation, Plan& plan) {
  cublasLtMatmulPreferenceOpaque_t preference;
  check(cublasLtMatmulPreferenceInit(&preference), "choose a matrix product");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
          "choose a matrix product");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{context.workspace_bytes});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{key.b});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{key.a});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{key.c});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{key.c});
  cublasLtMatmulHeuristicResult_t result;
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(context.blas, &operation, &plan.b, &plan.a, &plan.c, &plan.c,
                                     &preference, 1, &result, &count);
  // Which of the two says that a shape, a type and an epilogue do not go together is its own
  // choice.
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)
    return std::nullopt;
  check(status, "choose a matrix product");
  if (count == 0 || result.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  return result.algo;
}

Plan plan_of(const Context& context, const Key& key) {
  static std::mutex mutex;
  // Never destroyed: a thread may still compute while static objects go.
  static auto* const plans = new std::unordered_map<Key, Plan, HashKey>;
  const std::lock_guard lock(mutex);
  const auto found = plans->find(key);
  if (found != plans->end()) return found->second;
  const Product& p = key.product;
  cublasLtMatmulDescOpaque_t operation = operation_of(
      p, {.a = nullptr, .b = nullptr, .c = nullptr, .bias = stand_in(), .mask = stand_in()});
  const bool a_turned = p.form == Form::tn, b_turned = p.form == Form::nt;
  Plan plan{.a = layout_of(p.type, a_turned ? p.k : p.m, a_turned ? p.m : p.k),
            .b = layout_of(p.type, b_turned ? p.n : p.k, b_turned ? p.k : p.n),
            .c = layout_of(p.c_type, p.m, p.n),
            .algorithm = std::nullopt};
  plan.algorithm = measured(context, key, operation, plan);
  if (!plan.algorithm) plan.algorithm = suggested(context, key, operation, plan);
  return plans->emplace(key, plan).first->second;
}

}  // namespace

bool multiply_fused(const Context& context, const Product& product, const Operands& operands,
                    Stream stream) {
  // Plans expect so much; a misaligned access would be the end of the device's context.
  if (std::min(alignment_of(operands.bias), alignment_of(operands.mask)) < kLeastAlignment)
    return false;
  const Key key = {context.device, product, alignment_of(operands.a), alignment_of(operands.b),
                   alignment_of(operands.c)};
  Plan plan = plan_of(context, key);
  if (!plan.algorithm) return false;
  cublasLtMatmulDescOpaque_t operation = operation_of(product, operands);
  const float one = 1, beta = product.form == Form::tn ? 1.f : 0.f;
  check(cublasLtMatmul(context.blas, &operation, &one, operands.b, &plan.b, operands.a, &plan.a,
                       &beta, operands.c, &plan.c, operands.c, &plan.c, &*plan.algorithm,
                       context.workspace, context.workspace_bytes, stream),
        "multiply matrices");
  return true;
}

void multiply(const Context& context, Product product, const Operands& operands, Stream stream) {
  product.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  if (!multiply_fused(context, product, operands, stream)) plain_product(product, operands, stream);
}

}  // namespace rheo::cuda
