#pragma once

#include "kernels/backend.h"

namespace rheo {

/// The backend of librheo_cuda.so, which is loaded at the first call: from $RHEO_BACKEND_PATH if
/// that is set, else from the folder of librheo.so.
/// @throws Error unsupported where it cannot be loaded, saying why.
const Backend& cuda_backend();

}  // namespace rheo
