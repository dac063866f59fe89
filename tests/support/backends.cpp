#include "tests/support/backends.h"

#include <cstdlib>
#include <ostream>
#include <string_view>

#include "kernels/cpu/backend.h"
#include "kernels/cuda/backend.h"
#include "src/cuda_backend.h"

namespace rheo {

void PrintTo(const Backend* backend, std::ostream* to) {
  *to << backend->name << ' ' << backend->instruction_set;
}

}  // namespace rheo

namespace rheo::test {
namespace {

/// Small cases are to run on several threads, too.
class AllLoopsShared : public testing::Environment {
  void SetUp() override { cpu::least_shared_work = 0; }
};
[[maybe_unused]] const auto* const environment =
    testing::AddGlobalTestEnvironment(new AllLoopsShared);

}  // namespace

bool wants_cuda() {
  const char* set = std::getenv("RHEO_TEST_CUDA");
  return set && std::string_view(set) == "1";
}

std::vector<const Backend*> backends() {
  const Backend* variants[cpu::kMaxVariants];
  const int count = cpu::variants(variants);
  std::vector<const Backend*> found(variants, variants + count);
  found.push_back(&cuda::backend);
  if (wants_cuda()) found.push_back(&cuda_backend());
  return found;
}

const Backend& baseline_variant() {
  return cpu::baseline::backend;
}

std::string name_of(const testing::TestParamInfo<const Backend*>& info) {
  return info.param->instruction_set;
}

}  // namespace rheo::test
