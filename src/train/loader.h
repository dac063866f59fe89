#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "rheo/dataset.h"
#include "rheo/trainer.h"

namespace rheo {

/// Images of one forward and backward pass, augmented, or points.
struct Batch {
  std::vector<std::uint8_t> pixels;   // [N, D] of images
  std::vector<float> points;          // [N, D] of points
  std::vector<int> labels;            // [N] or empty
  std::vector<std::int64_t> samples;  // [N] position in the run, the index of each image's noise
};

/// The batch of the images at `position` and on: a function of data, options and position.
Batch make_batch(const Dataset& data, const TrainOptions& options, std::int64_t position,
                 std::int64_t count);

/// Makes batches ahead of time in threads of its own, and hands them out in order.
class Loader {
 public:
  Loader(const Dataset& data, const TrainOptions& options, std::int64_t position);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch; valid until the next call. Rethrows what went wrong while making it.
  const Batch& next();

 private:
  struct Slot {
    Batch batch;
    std::int64_t made = -1;  // index of the batch in it
  };
  void work();
  void stop();

  const Dataset& data_;
  const TrainOptions options_;
  const std::int64_t position_;  // of batch 0
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;   // batch k in slot k modulo their number
  std::int64_t begun_ = 0;    // batches that a thread has taken up
  std::int64_t handed_ = -1;  // the batch that the caller holds
  bool stop_ = false;
  std::exception_ptr error_;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace rheo
