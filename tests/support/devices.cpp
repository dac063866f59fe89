#include "tests/support/devices.h"

#include <ostream>

#include "kernels/cuda/backend.h"
#include "tests/support/backends.h"

namespace rheo {

void PrintTo(const Device& device, std::ostream* to) {
  *to << device.name();
}

}  // namespace rheo

namespace rheo::test {

Device emulated() {
  return DeviceAccess::of(cuda::backend);
}

std::vector<Device> gpus() {
  std::vector<Device> found = {emulated()};
  if (wants_cuda()) found.push_back(Device::cuda());
  return found;
}

std::vector<Device> devices() {
  std::vector<Device> found = gpus();
  found.insert(found.begin(), Device::cpu(2));
  return found;
}

std::string name_of_device(const testing::TestParamInfo<Device>& info) {
  return info.param.backend().name;
}

}  // namespace rheo::test
