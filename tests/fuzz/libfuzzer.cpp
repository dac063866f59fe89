#include "tests/fuzz/target.h"

/// One program a format; RHEO_FUZZ_TARGET names its function.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rheo::fuzz::RHEO_FUZZ_TARGET({data, size});
  return 0;
}
