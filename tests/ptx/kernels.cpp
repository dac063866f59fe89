#include "tests/ptx/kernels.h"

#include <cfenv>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "simt/control.h"
#include "tests/ptx/machine.h"
#include "tests/simt/block.h"

namespace ptx {
namespace {

std::map<std::string_view, const Kernel*>& kernels() {
  static std::map<std::string_view, const Kernel*> all;
  return all;
}

}  // namespace

Kernel::Kernel(const char* given_name, Body given_body, std::vector<Parameter> given_parameters,
               std::size_t bytes, unsigned most)
    : name(given_name),
      body(given_body),
      parameters(std::move(given_parameters)),
      parameter_bytes(bytes),
      most_threads(most) {
  kernels().emplace(name, this);
}

const Kernel* find(const char* name) {
  const auto found = kernels().find(name);
  return found == kernels().end() ? nullptr : found->second;
}

void trap(std::source_location place) {
  simt::fail("%s:%u: what a device stops at or leaves undefined, in %s", place.file_name(),
             place.line(), place.function_name());
}

// Volatile, or the compiler moves the arithmetic out of the mode.
f32 fma_rm_(f32 a, f32 b, f32 c) {
  const int mode = std::fegetround();
  std::fesetround(FE_DOWNWARD);
  volatile f32 x = a, y = b, z = c;
  volatile f32 result = std::fma(x, y, z);
  std::fesetround(mode);
  return result;
}

}  // namespace ptx
