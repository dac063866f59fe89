#pragma once

// Tests that run once for each backend variant of this machine.

#include <gtest/gtest.h>

#include <iosfwd>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rheo {

/// In names of tests and messages, in place of an address that differs from run to run.
void PrintTo(const Backend* backend, std::ostream* to);

}  // namespace rheo

namespace rheo::test {

/// Whether the tests are to use a GPU, and fail where there is none: RHEO_TEST_CUDA=1.
bool wants_cuda();

/// The variants of the CPU that this machine can run, the emulated GPU, and the real one where it
/// is wanted. The first, `baseline_variant`, is what the others must agree with.
std::vector<const Backend*> backends();
const Backend& baseline_variant();

std::string name_of(const testing::TestParamInfo<const Backend*>& info);

class OnBackend : public testing::TestWithParam<const Backend*> {
 protected:
  void SetUp() override { backend().set_threads(2); }
  void TearDown() override { backend().set_threads(2); }

  const Backend& backend() const { return *GetParam(); }
};

}  // namespace rheo::test

#define RHEO_ON_EVERY_BACKEND(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::ValuesIn(rheo::test::backends()), rheo::test::name_of)
