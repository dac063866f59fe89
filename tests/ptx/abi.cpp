// The functions that code compiled by nvcc calls, by their names in C, handed to the emulator.

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "simt/control.h"
#include "tests/ptx/kernels.h"
#include "tests/ptx/toolkit.h"

static_assert(sizeof(cudaLaunchConfig_t) == ptx::kLaunchConfigBytes);
static_assert(sizeof(cublasLtMatrixLayoutOpaque_t) <= ptx::kLayoutBytes);
static_assert(sizeof(cublasLtMatmulDescOpaque_t) <= ptx::kOperationBytes);
static_assert(sizeof(cublasLtMatmulPreferenceOpaque_t) <= ptx::kPreferenceBytes);
static_assert(sizeof(cublasLtMatmulAlgo_t) <= sizeof(ptx::Suggestion::algorithm));

namespace ptx {
namespace {

/// Kernels by the host function that stands for each.
std::map<const void*, std::string>& registered() {
  static std::map<const void*, std::string> all;
  return all;
}

const Kernel& kernel_of(const void* function) {
  const auto name = registered().find(function);
  if (name == registered().end()) throw simt::error("ptx: a kernel that nobody registered");
  const Kernel* const kernel = find(name->second.c_str());
  if (!kernel) throw simt::error("ptx: there is no PTX of " + name->second);
  return *kernel;
}

std::vector<unsigned char> packed(const Kernel& kernel, void** arguments) {
  std::vector<unsigned char> bytes(kernel.parameter_bytes, 0xff);
  for (const Parameter& parameter : kernel.parameters)
    std::memcpy(bytes.data() + parameter.offset, *arguments++, parameter.bytes);
  return bytes;
}

cudaError_t start(const cudaLaunchConfig_t& config, const void* function, void** arguments) {
  const Kernel& kernel = kernel_of(function);
  if (config.blockDim.x * config.blockDim.y * config.blockDim.z > kernel.most_threads)
    throw simt::error("ptx: more threads than the __launch_bounds__ of " +
                      std::string(kernel.name));
  return simt::launch(config, function,
                      [&kernel, held = packed(kernel, arguments)] { kernel.body(held.data()); });
}

cudaError_t properties(void* to, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device)) return error;
  fill(to, {p.name, p.totalGlobalMem, p.sharedMemPerBlock, p.sharedMemPerBlockOptin, p.warpSize,
            p.maxThreadsPerBlock, p.major, p.minor, p.multiProcessorCount});
  return cudaSuccess;
}

cublasStatus_t suggestion(cublasStatus_t status, const cublasLtMatmulHeuristicResult_t& from,
                          Suggestion* to) {
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  *to = {};
  std::memcpy(to->algorithm, &from.algo, sizeof from.algo);
  to->workspace = from.workspaceSize, to->state = from.state, to->waves = from.wavesCount;
  return status;
}

}  // namespace
}  // namespace ptx

// A function of C named `name`, beside the emulator's of C++.
#define PTX_C(type, name, parameters)                   \
  extern "C" type ptx_##name parameters __asm__(#name); \
  type ptx_##name parameters

// Of the same name and arguments in both.
#define PTX_SAME(type, name, parameters, arguments) \
  PTX_C(type, name, parameters) {                   \
    return name arguments;                          \
  }

PTX_C(void**, __cudaRegisterFatBinary, (void*)) {
  static void* handle;
  return &handle;
}
PTX_C(void, __cudaRegisterFatBinaryEnd, (void**)) {}
PTX_C(void, __cudaUnregisterFatBinary, (void**)) {}
PTX_C(void, __cudaRegisterVar, (void**, char*, char*, const char*, int, std::size_t, int, int)) {}
PTX_C(void, __cudaRegisterFunction,
      (void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
       int*)) {
  ptx::registered()[host] = name;
}
// Only launches by <<<>>>, of which there are none, come to these three.
PTX_C(cudaError_t, __cudaGetKernel, (const void**, const void*)) {
  return cudaErrorNotSupported;
}
PTX_C(cudaError_t, __cudaLaunchKernel,
      (const void*, dim3, dim3, void**, std::size_t, cudaStream_t)) {
  return cudaErrorNotSupported;
}
PTX_C(cudaError_t, __cudaPopCallConfiguration, (dim3*, dim3*, std::size_t*, void*)) {
  return cudaErrorNotSupported;
}
PTX_C(cudaError_t, cudaLaunchKernelExC,
      (const cudaLaunchConfig_t* config, const void* function, void** arguments)) {
  return ptx::start(*config, function, arguments);
}
PTX_C(cudaError_t, cudaGetDeviceProperties, (void* to, int device)) {
  return ptx::properties(to, device);
}

PTX_SAME(const char*, cudaGetErrorName, (cudaError_t e), (e))
PTX_SAME(const char*, cudaGetErrorString, (cudaError_t e), (e))
PTX_SAME(cudaError_t, cudaGetLastError, (), ())
PTX_SAME(cudaError_t, cudaDriverGetVersion, (int* version), (version))
PTX_SAME(cudaError_t, cudaGetDeviceCount, (int* count), (count))
PTX_SAME(cudaError_t, cudaGetDevice, (int* device), (device))
PTX_SAME(cudaError_t, cudaSetDevice, (int device), (device))
PTX_SAME(cudaError_t, cudaDeviceGetAttribute, (int* value, cudaDeviceAttr what, int device),
         (value, what, device))
PTX_SAME(cudaError_t, cudaMalloc, (void** memory, std::size_t bytes), (memory, bytes))
PTX_SAME(cudaError_t, cudaFree, (void* memory), (memory))
PTX_SAME(cudaError_t, cudaMallocHost, (void** memory, std::size_t bytes), (memory, bytes))
PTX_SAME(cudaError_t, cudaFreeHost, (void* memory), (memory))
PTX_SAME(cudaError_t, cudaMemGetInfo, (std::size_t * free, std::size_t* total), (free, total))
PTX_SAME(cudaError_t, cudaPointerGetAttributes, (cudaPointerAttributes * to, const void* memory),
         (to, memory))
PTX_SAME(cudaError_t, cudaMemcpyAsync,
         (void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream),
         (to, from, bytes, kind, stream))
PTX_SAME(cudaError_t, cudaMemsetAsync,
         (void* memory, int value, std::size_t bytes, cudaStream_t stream),
         (memory, value, bytes, stream))
PTX_SAME(cudaError_t, cudaStreamCreateWithFlags, (cudaStream_t * stream, unsigned flags),
         (stream, flags))
PTX_SAME(cudaError_t, cudaStreamDestroy, (cudaStream_t stream), (stream))
PTX_SAME(cudaError_t, cudaStreamSynchronize, (cudaStream_t stream), (stream))
PTX_SAME(cudaError_t, cudaStreamWaitEvent, (cudaStream_t stream, cudaEvent_t event, unsigned flags),
         (stream, event, flags))
PTX_SAME(cudaError_t, cudaStreamBeginCapture, (cudaStream_t stream, cudaStreamCaptureMode mode),
         (stream, mode))
PTX_SAME(cudaError_t, cudaStreamEndCapture, (cudaStream_t stream, cudaGraph_t* graph),
         (stream, graph))
PTX_SAME(cudaError_t, cudaEventCreateWithFlags, (cudaEvent_t * event, unsigned flags),
         (event, flags))
PTX_SAME(cudaError_t, cudaEventDestroy, (cudaEvent_t event), (event))
PTX_SAME(cudaError_t, cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), (event, stream))
PTX_SAME(cudaError_t, cudaGraphInstantiate,
         (cudaGraphExec_t * made, cudaGraph_t graph, unsigned long long flags),
         (made, graph, flags))
PTX_SAME(cudaError_t, cudaGraphLaunch, (cudaGraphExec_t graph, cudaStream_t stream),
         (graph, stream))
PTX_SAME(cudaError_t, cudaGraphExecDestroy, (cudaGraphExec_t graph), (graph))
PTX_SAME(cudaError_t, cudaGraphDestroy, (cudaGraph_t graph), (graph))
PTX_SAME(cudaError_t, cudaFuncSetAttribute, (const void* kernel, cudaFuncAttribute what, int value),
         (kernel, what, value))

PTX_SAME(const char*, cublasLtGetStatusName, (cublasStatus_t status), (status))
PTX_SAME(const char*, cublasLtGetStatusString, (cublasStatus_t status), (status))
PTX_SAME(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t * handle), (handle))
PTX_C(cublasStatus_t, cublasLtMatrixLayoutInit_internal,
      (cublasLtMatrixLayout_t layout, std::size_t, cudaDataType_t type, std::uint64_t rows,
       std::uint64_t columns, std::int64_t ld)) {
  return cublasLtMatrixLayoutInit(layout, type, rows, columns, ld);
}
PTX_C(cublasStatus_t, cublasLtMatmulDescInit_internal,
      (cublasLtMatmulDesc_t operation, std::size_t, cublasComputeType_t compute,
       cudaDataType_t scale)) {
  return cublasLtMatmulDescInit(operation, compute, scale);
}
PTX_C(cublasStatus_t, cublasLtMatmulPreferenceInit_internal,
      (cublasLtMatmulPreference_t preference, std::size_t)) {
  return cublasLtMatmulPreferenceInit(preference);
}
PTX_SAME(cublasStatus_t, cublasLtMatmulDescSetAttribute,
         (cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t what, const void* value,
          std::size_t bytes),
         (operation, what, value, bytes))
PTX_SAME(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute,
         (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t what,
          const void* value, std::size_t bytes),
         (preference, what, value, bytes))
PTX_SAME(cublasStatus_t, cublasLtMatmulAlgoInit,
         (cublasLtHandle_t handle, cublasComputeType_t compute, cudaDataType_t scale,
          cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d, int id,
          cublasLtMatmulAlgo_t* algorithm),
         (handle, compute, scale, a, b, c, d, id, algorithm))
PTX_SAME(cublasStatus_t, cublasLtMatmulAlgoConfigSetAttribute,
         (cublasLtMatmulAlgo_t * algorithm, cublasLtMatmulAlgoConfigAttributes_t what,
          const void* value, std::size_t bytes),
         (algorithm, what, value, bytes))
PTX_C(cublasStatus_t, cublasLtMatmulAlgoCheck,
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
       const cublasLtMatmulAlgo_t* algorithm, ptx::Suggestion* result)) {
  cublasLtMatmulHeuristicResult_t found{};
  return ptx::suggestion(cublasLtMatmulAlgoCheck(handle, operation, a, b, c, d, algorithm, &found),
                         found, result);
}
PTX_C(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic,
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
       cublasLtMatmulPreference_t preference, int most, ptx::Suggestion* results, int* count)) {
  cublasLtMatmulHeuristicResult_t found{};
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation, a, b, c, d,
                                                               preference, most, &found, count);
  return ptx::suggestion(status, found, results);
}
PTX_SAME(cublasStatus_t, cublasLtMatmul,
         (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
          cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
          const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
          cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
          std::size_t workspace_bytes, cudaStream_t stream),
         (handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout,
          algorithm, workspace, workspace_bytes, stream))
