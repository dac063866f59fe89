#include "rheo/device.h"

#include <omp.h>

#include <charconv>

#include "kernels/backend.h"
#include "rheo/version.h"
#include "src/check.h"
#include "src/cuda_backend.h"

namespace rheo {

const char* version() {
  return RHEO_VERSION;
}

Device Device::cpu(int threads) {
  require(threads >= 0 && threads <= 256, "Device::cpu: threads must be 0..256; got ", threads);
  // The processors that this process may use, whatever the calling thread was set to before.
  return {cpu_backend(), threads > 0 ? threads : omp_get_num_procs(), 0};
}

Device Device::cuda(int ordinal) {
  require(ordinal >= 0, "Device::cuda: ordinal must be at least 0; got ", ordinal);
  const Backend& backend = cuda_backend();
  backend.require_fitting(ordinal);
  return {backend, 1, ordinal};
}

Device Device::from_name(std::string_view name, int threads) {
  if (name == "cpu") return cpu(threads);
  if (name == "cuda") return cuda();
  if (name == "auto") {
    try {
      return cuda();
    } catch (const Error& e) {
      if (e.code() != Errc::unsupported) throw;  // a GPU that is there but broken is no reason
      return cpu(threads);
    }
  }
  constexpr std::string_view kPrefix = "cuda:";
  int ordinal = 0;
  const char* end = name.data() + name.size();
  if (name.starts_with(kPrefix)) {
    const auto read = std::from_chars(name.data() + kPrefix.size(), end, ordinal);
    if (read.ec == std::errc() && read.ptr == end && ordinal >= 0) return cuda(ordinal);
  }
  fail(Errc::invalid_argument, "Device: must be auto, cpu, cuda or cuda:N; got ", name);
}

std::string Device::name() const {
  const std::string name = backend_->name;
  return name == "cpu" ? name : name + ":" + std::to_string(ordinal_);
}

std::string Device::instruction_set() const {
  return backend_->describe(ordinal_);
}

std::string Device::description() const {
  if (name() != "cpu") return name() + ", " + instruction_set();
  return name() + ", " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
         instruction_set();
}

}  // namespace rheo
