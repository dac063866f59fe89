#include "rheo/device.h"

#include <omp.h>

#include "kernels/backend.h"
#include "rheo/version.h"
#include "src/check.h"

namespace rheo {

const char* version() {
  return RHEO_VERSION;
}

Device Device::cpu(int threads) {
  require(threads >= 0 && threads <= 256, "Device::cpu: threads must be 0..256; got ", threads);
  // The processors that this process may use, whatever the calling thread was set to before.
  return {cpu_backend(), threads > 0 ? threads : omp_get_num_procs()};
}

Device Device::from_name(std::string_view name, int threads) {
  if (name == "cpu" || name == "auto") return cpu(threads);
  if (name == "cuda" || name.starts_with("cuda:"))
    fail(Errc::unsupported, "Device: ", name,
         " is not to be had: this version has no CUDA backend; use cpu");
  fail(Errc::invalid_argument, "Device: must be auto, cpu, cuda or cuda:N; got ", name);
}

std::string Device::name() const {
  return backend_->name;
}

const char* Device::instruction_set() const {
  return backend_->instruction_set;
}

std::string Device::description() const {
  return name() + ", " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
         instruction_set();
}

}  // namespace rheo
