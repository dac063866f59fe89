#pragma once

#include "simt/runtime_api.h"

namespace simt {

/// Every function of the runtime API holds one: one call at a time, and none from queued work.
class ApiCall {
 public:
  ApiCall();
  ~ApiCall();
  ApiCall(const ApiCall&) = delete;
  ApiCall& operator=(const ApiCall&) = delete;
};

/// While queued work runs.
class InsideDevice {
 public:
  InsideDevice();
  ~InsideDevice();
  InsideDevice(const InsideDevice&) = delete;
  InsideDevice& operator=(const InsideDevice&) = delete;
};

/// For cudaGetLastError.
cudaError_t remembered(cudaError_t);

}  // namespace simt
