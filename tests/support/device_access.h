#pragma once

// What Device's friend may do, for tests and benchmarks: a header without GoogleTest.

#include "rheo/device.h"

namespace rheo {

/// Makes devices of backends that are not public.
struct DeviceAccess {
  static Device of(const Backend& backend, int threads = 1) { return {backend, threads, 0}; }
};

}  // namespace rheo
