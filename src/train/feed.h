#pragma once

#include <exception>
#include <memory>

#include "src/arena.h"
#include "src/train/loader.h"

namespace rheo {

/// Batches on the device. While it works on one, the next crosses to it: from a loader's threads
/// through pinned memory to a place beside the one in use.
class Feed {
 public:
  /// For so many images of such a model, or vectors.
  Feed(const Queue& queue, std::int64_t images, const ModelConfig& config);

  /// That a feed takes on the device.
  static std::size_t device_bytes(std::int64_t images, const ModelConfig& config);

  /// From the batch at `position` of the run on.
  void start(const Dataset& data, const TrainOptions& options, std::int64_t position);
  /// Forgets what was under way.
  void stop();
  bool started() const { return loader_ != nullptr; }

  /// The next batch is what pixels or points, samples and labels point to for all work queued from
  /// now on.
  void take();
  /// Sends the batch after it on its way. What fails is told by the `take` that would return it.
  void fetch() noexcept;

  const std::uint8_t* pixels() const { return in_use_.pixels; }
  const float* points() const { return in_use_.points; }
  const std::int64_t* samples() const { return in_use_.samples; }
  const int* labels() const { return in_use_.labels; }

 private:
  struct Place {
    std::uint8_t* pixels;   // [N, D] of images
    float* points;          // [N, D] of points
    std::int64_t* samples;  // [N]
    int* labels;            // [N]
  };
  void send(const Batch& batch);
  static Place place_in(Arena& arena, std::int64_t images, const ModelConfig& config);

  const Queue& queue_;
  std::size_t bytes_;
  HostBuffer host_memory_;
  DeviceBuffer next_memory_, memory_;
  Place host_{}, in_use_{};
  bool fetched_ = false;
  std::exception_ptr failed_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace rheo
