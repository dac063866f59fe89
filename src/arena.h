#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/backend.h"
#include "src/check.h"

namespace rheo {

/// Memory of a backend, owned.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;

  /// @throws Error out_of_memory naming `what` and the bytes.
  DeviceBuffer(const Backend& backend, std::size_t bytes, const char* what)
      : backend_(&backend), bytes_(bytes), data_(backend.allocate(bytes)) {
    if (data_ == nullptr)
      fail(Errc::out_of_memory, backend.name, ": no room for ", bytes, " bytes of ", what,
           "; use a smaller batch or model");
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceBuffer() {
    if (data_) backend_->release(data_);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  void clear() { backend_->clear(data_, bytes_, nullptr); }
  void upload(const void* from, std::size_t bytes) { backend_->copy(data_, from, bytes, nullptr); }

  /// To the host, done when it returns.
  void download(void* to, std::size_t bytes, std::size_t from = 0) const {
    backend_->copy(to, static_cast<const char*>(data_) + from, bytes, nullptr);
    backend_->synchronize(nullptr);
  }

 private:
  const Backend* backend_ = nullptr;
  std::size_t bytes_ = 0;
  void* data_ = nullptr;
};

/// Hands out pieces of one block in order. Over no block it only counts: a dry run gives the size.
class Arena {
 public:
  explicit Arena(void* block = nullptr) : block_(static_cast<char*>(block)) {}

  template <class T>
  T* take(std::int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  void* take_bytes(std::size_t bytes) {
    void* piece = block_ ? block_ + used_ : nullptr;
    used_ += (bytes + 63) / 64 * 64;
    return piece;
  }

  std::size_t used() const { return used_; }

 private:
  char* block_;
  std::size_t used_ = 0;
};

}  // namespace rheo
