#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "rheo/device.h"
#include "rheo/error.h"

namespace rheo {

/// While it lives, the calling thread works on a device, with that device's number of threads.
class DeviceScope {
 public:
  explicit DeviceScope(const Device& device)
      : backend_(device.backend()),
        device_before_(backend_.use(device.ordinal())),
        threads_before_(backend_.set_threads(device.threads())) {}
  ~DeviceScope() {
    backend_.set_threads(threads_before_);
    try {
      backend_.use(device_before_);
    } catch (const Error&) {
      // The device was lost, which the call at work has told.
    }
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  const Backend& backend_;
  int device_before_, threads_before_;
};

/// The streams of one model on one device; null, every one, on the CPU.
class Queue {
 public:
  static constexpr int kSides = 2;
  static constexpr std::size_t kPiece = 1 << 20;  // values of a download in pieces

  explicit Queue(const Device& device) : backend_(device.backend()) {
    const DeviceScope scope(device);
    streams_[0] = backend_.open(true);
  }
  ~Queue() {
    for (Stream stream : streams_)
      if (stream) backend_.close(stream);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// For training: what may run beside the main stream.
  void open_sides() {
    for (int i = 0; i < kSides; ++i)
      if (side(i) == nullptr) streams_[1 + i] = backend_.open(true);
  }
  void close_sides() {
    for (int i = 0; i < kSides; ++i)
      if (Stream& stream = streams_[1 + i]) backend_.close(std::exchange(stream, nullptr));
  }
  void open_loading() {
    if (loading() == nullptr) streams_[1 + kSides] = backend_.open(false);
  }

  const Backend& backend() const { return backend_; }

  /// Bytes that buffers of this queue hold now.
  std::size_t held() const { return held_; }
  void hold(std::size_t bytes) const { held_ += bytes; }
  void let_go(std::size_t bytes) const { held_ -= bytes; }

  Stream stream() const { return streams_[0]; }
  /// For work that overlaps the main stream's, between a wait of each for the other; null unless
  /// opened.
  Stream side(int i) const { return streams_[1 + i]; }
  /// For copies of the next batch.
  Stream loading() const { return streams_[1 + kSides]; }

  void synchronize() const { backend_.synchronize(stream()); }
  void copy(void* to, const void* from, std::size_t bytes) const {
    backend_.copy(to, from, bytes, stream());
  }
  /// To the host, done when it returns.
  void download(void* to, const void* from, std::size_t bytes) const {
    copy(to, from, bytes);
    synchronize();
  }
  /// take(values, count) for one piece after the other: what lies in a device's memory is never
  /// whole in the host's.
  template <class Take>
  void download_pieces(const float* from, std::size_t count, const Take& take) const {
    std::vector<float> piece(std::min(count, kPiece));
    for (std::size_t at = 0; at < count; at += kPiece) {
      const std::size_t values = std::min(count - at, kPiece);
      download(piece.data(), from + at, values * sizeof(float));
      take(piece.data(), values);
    }
  }
  void clear(void* memory, std::size_t bytes) const { backend_.clear(memory, bytes, stream()); }

 private:
  const Backend& backend_;
  Stream streams_[2 + kSides] = {};
  mutable std::size_t held_ = 0;
};

/// Work that the device is given as one launch where it can record: from the second time on, since
/// the first makes what is made once.
class Repeated {
 public:
  explicit Repeated(const Queue& queue) : queue_(&queue) {}
  ~Repeated() { reset(); }
  Repeated(const Repeated&) = delete;
  Repeated& operator=(const Repeated&) = delete;

  /// `work` queues the same operations on the same memory each time.
  template <class F>
  void run(F&& work) {
    const Backend& backend = queue_->backend();
    if (ran_ && recording_ == nullptr)
      recording_ = backend.record(
          queue_->stream(), [](void* what) { (*static_cast<std::remove_reference_t<F>*>(what))(); },
          &work);
    if (recording_)
      backend.replay(recording_, queue_->stream());
    else
      work();
    ran_ = true;  // not before: a run that failed may not have made all that is made once
  }

  /// What comes is other work, or on other memory.
  void reset() {
    if (recording_) queue_->backend().forget(recording_);
    recording_ = nullptr, ran_ = false;
  }

 private:
  const Queue* queue_;
  Recording* recording_ = nullptr;
  bool ran_ = false;
};

}  // namespace rheo
