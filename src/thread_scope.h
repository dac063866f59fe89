#pragma once

#include "kernels/backend.h"
#include "rheo/device.h"

namespace rheo {

/// While it lives, what the calling thread starts on a device uses that device's number of threads.
class ThreadScope {
 public:
  explicit ThreadScope(const Device& device)
      : backend_(device.backend()), before_(backend_.set_threads(device.threads())) {}
  ~ThreadScope() { backend_.set_threads(before_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  const Backend& backend_;
  int before_;
};

}  // namespace rheo
