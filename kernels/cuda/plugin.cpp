// The one symbol of librheo_cuda.so that others look for.

#include <cstring>

#include "kernels/cuda/backend.h"
#include "rheo/export.h"

/// The backend, for a librheo.so of the same version and contract (kernels/*.h); null for another,
/// which would misread it.
extern "C" RHEO_API const rheo::Backend* rheo_cuda_backend(const char* contract) {
  return std::strcmp(contract, RHEO_CONTRACT) == 0 ? &rheo::cuda::backend : nullptr;
}
