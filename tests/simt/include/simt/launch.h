#pragma once

// How kernels start.

#include <functional>
#include <tuple>
#include <utility>

#include "simt/runtime_api.h"

struct cudaLaunchAttribute;  // none is supported: numAttrs has to be 0
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

namespace simt {

cudaError_t launch(const cudaLaunchConfig_t&, const void* kernel, std::function<void()> thread);
cudaError_t set_attribute(const void* kernel, cudaFuncAttribute, int value);

}  // namespace simt

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return [&](Parameters... parameters) {
    return simt::launch(*config, reinterpret_cast<const void*>(kernel),
                        [kernel, held = std::tuple<Parameters...>(std::move(parameters)...)] {
                          std::apply(kernel, held);
                        });
  }(std::forward<Arguments>(arguments)...);
}

inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute,
                                        int value) {
  return simt::set_attribute(kernel, attribute, value);
}
template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute,
                                 int value) {
  return simt::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
