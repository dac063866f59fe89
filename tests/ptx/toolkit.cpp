// What only the toolkit's own headers know: how large and where its structs' parts are.

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstring>

#include "tests/ptx/toolkit.h"

namespace ptx {

static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == sizeof(Suggestion));
static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) ==
              offsetof(Suggestion, workspace));
static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == offsetof(Suggestion, state));
static_assert(sizeof(cudaLaunchConfig_t) == kLaunchConfigBytes);
static_assert(sizeof(cublasLtMatrixLayoutOpaque_t) == kLayoutBytes);
static_assert(sizeof(cublasLtMatmulDescOpaque_t) == kOperationBytes);
static_assert(sizeof(cublasLtMatmulPreferenceOpaque_t) == kPreferenceBytes);

void fill(void* properties, const Properties& from) {
  cudaDeviceProp& to = *static_cast<cudaDeviceProp*>(properties);
  to = {};
  std::strncpy(to.name, from.name, sizeof to.name - 1);
  to.totalGlobalMem = from.memory;
  to.sharedMemPerBlock = from.shared;
  to.sharedMemPerBlockOptin = from.most_shared;
  to.warpSize = from.warp;
  to.maxThreadsPerBlock = from.threads;
  to.major = from.major, to.minor = from.minor;
  to.multiProcessorCount = from.multiprocessors;
}

}  // namespace ptx
