#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "src/check.h"
#include "src/queue.h"

namespace rheo {

/// Memory of a backend, owned. Filled and read on the queue's main stream.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;

  /// @throws Error out_of_memory naming `what`, the bytes it needs and those that are free.
  DeviceBuffer(const Queue& queue, std::size_t bytes, const char* what)
      : queue_(&queue), bytes_(bytes), data_(queue.backend().allocate(bytes)) {
    if (data_ == nullptr)
      fail(Errc::out_of_memory, queue.backend().name, ": no room for ", bytes, " bytes of ", what,
           "; ", queue.backend().free_bytes(), " are free; use a smaller batch or model");
    queue.hold(bytes);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceBuffer() {
    if (data_ == nullptr) return;
    queue_->backend().release(data_);
    queue_->let_go(bytes_);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  void clear() { queue_->clear(data_, bytes_); }
  void upload(const void* from, std::size_t bytes) { queue_->copy(data_, from, bytes); }

  /// To the host, done when it returns.
  void download(void* to, std::size_t bytes, std::size_t from = 0) const {
    queue_->download(to, static_cast<const char*>(data_) + from, bytes);
  }

 private:
  const Queue* queue_ = nullptr;
  std::size_t bytes_ = 0;
  void* data_ = nullptr;
};

/// The host's memory that a device copies to and from in its own time.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(const Queue& queue, std::size_t bytes, const char* what)
      : queue_(&queue), data_(queue.backend().allocate_host(bytes)) {
    if (data_ == nullptr)
      fail(Errc::out_of_memory, queue.backend().name, ": no room for ", bytes, " bytes of ", what,
           " in the host's memory");
  }
  HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~HostBuffer() {
    if (data_) queue_->backend().release_host(data_);
  }

  void* data() const { return data_; }

 private:
  const Queue* queue_ = nullptr;
  void* data_ = nullptr;
};

/// The largest count up to `most` for which bytes(count) fit into what is free; 0: none. A tenth is
/// left to others, and to kernels that are loaded later.
template <class F>
std::int64_t largest_fitting(std::int64_t most, std::size_t free, const F& bytes) {
  std::int64_t fitting = 0, too_many = most + 1;
  while (too_many - fitting > 1) {
    const std::int64_t middle = fitting + (too_many - fitting) / 2;
    const auto needed = static_cast<std::size_t>(bytes(middle));
    (needed <= free - free / 10 ? fitting : too_many) = middle;
  }
  return fitting;
}

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
