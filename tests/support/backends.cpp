#include "tests/support/backends.h"

#include <ostream>

#include "kernels/cpu/backend.h"

namespace rheo {

void PrintTo(const Backend* backend, std::ostream* to) {
  *to << backend->name << ' ' << backend->instruction_set;
}

}  // namespace rheo

namespace rheo::test {

std::vector<const Backend*> backends() {
  const Backend* found[cpu::kMaxVariants];
  const int count = cpu::variants(found);
  return {found, found + count};
}

const Backend& baseline_variant() {
  return cpu::baseline::backend;
}

std::string name_of(const testing::TestParamInfo<const Backend*>& info) {
  return info.param->instruction_set;
}

}  // namespace rheo::test
