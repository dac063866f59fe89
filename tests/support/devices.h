#pragma once

// Tests that run once for each device: the CPU, the emulated GPU, and with RHEO_TEST_CUDA=1 in the
// environment a real one.

#include <gtest/gtest.h>

#include <iosfwd>
#include <string>
#include <vector>

#include "tests/support/device_access.h"

namespace rheo {

void PrintTo(const Device& device, std::ostream* to);

}  // namespace rheo

namespace rheo::test {

std::vector<Device> devices();

Device emulated();

/// Those that stand for a GPU.
std::vector<Device> gpus();

class OnDevice : public testing::TestWithParam<Device> {
 protected:
  const Device& device() const { return GetParam(); }
  bool on_cpu() const { return device().name() == "cpu"; }
};

std::string name_of_device(const testing::TestParamInfo<Device>& info);

}  // namespace rheo::test

#define RHEO_ON_EVERY_DEVICE(Suite)                                           \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::ValuesIn(rheo::test::devices()), \
                           rheo::test::name_of_device)
#define RHEO_ON_EVERY_GPU(Suite)                                           \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::ValuesIn(rheo::test::gpus()), \
                           rheo::test::name_of_device)
