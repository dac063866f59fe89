#include "src/train/loader.h"

#include <algorithm>

#include "kernels/random.h"
#include "src/train/order.h"

namespace rheo {
namespace {

/// Of one image: mirrored or not, and moved by so many pixels.
struct Augmentation {
  bool flip;
  int down, right;
};

Augmentation draw(const TrainOptions& options, std::int64_t sample) {
  const auto words = math::random_block(options.seed, Purpose::augment, sample, 0);
  const auto shift = [&](std::uint32_t word) {
    return static_cast<int>(word % static_cast<unsigned>(2 * options.shift + 1)) - options.shift;
  };
  return {options.flip && (words[0] & 1u) != 0, shift(words[1]), shift(words[2])};
}

/// Pixels that a shift brings in from outside repeat the border.
void augment(const Dataset& data, const Augmentation& how, const std::uint8_t* from,
             std::uint8_t* to) {
  const int h = data.height(), w = data.width(), channels = data.channels();
  for (int i = 0; i < h; ++i)
    for (int j = 0; j < w; ++j) {
      const int row = std::clamp(i - how.down, 0, h - 1);
      const int column = std::clamp(j - how.right, 0, w - 1);
      const std::uint8_t* pixel =
          from + (row * w + (how.flip ? w - 1 - column : column)) * channels;
      to = std::copy(pixel, pixel + channels, to);
    }
}

void put_image(const Dataset& data, std::int64_t index, const TrainOptions& options,
               std::int64_t sample, std::uint8_t* to) {
  const std::uint8_t* from = data.images().data.data() + index * data.dims();
  if (options.flip || options.shift > 0)
    augment(data, draw(options, sample), from, to);
  else
    std::copy(from, from + data.dims(), to);
}

void put_point(const Dataset& data, std::int64_t index, float* to) {
  const float* from = data.points().data.data() + index * data.dims();
  std::copy(from, from + data.dims(), to);
}

}  // namespace

Batch make_batch(const Dataset& data, const TrainOptions& options, std::int64_t position,
                 std::int64_t count) {
  const std::int64_t size = data.size();
  Batch batch;
  batch.samples.resize(count);
  if (data.is_points())
    batch.points.resize(count * data.dims());
  else
    batch.pixels.resize(count * data.dims());
  for (std::int64_t n = 0; n < count; ++n) {
    const std::int64_t sample = position + n;
    const std::int64_t index = Order(size, options.seed, sample / size)(sample % size);
    if (data.is_points())
      put_point(data, index, batch.points.data() + n * data.dims());
    else
      put_image(data, index, options, sample, batch.pixels.data() + n * data.dims());
    if (!data.labels().empty()) batch.labels.push_back(data.labels()[index]);
    batch.samples[n] = sample;
  }
  return batch;
}

Loader::Loader(const Dataset& data, const TrainOptions& options, std::int64_t position)
    : data_(data), options_(options), position_(position), slots_(options.loader_threads + 2) {
  try {
    for (int t = 0; t < options.loader_threads; ++t) threads_.emplace_back([this] { work(); });
  } catch (...) {
    stop();  // those that did start wait for it, and are joined when this is left
    throw;
  }
}

Loader::~Loader() {
  stop();
}

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  const auto slots = static_cast<std::int64_t>(slots_.size());
  for (;;) {
    // A slot is free once the caller has moved on from the batch that was in it.
    changed_.wait(lock,
                  [&] { return stop_ || begun_ < std::max<std::int64_t>(handed_, 0) + slots; });
    if (stop_) return;
    const std::int64_t mine = begun_++;
    lock.unlock();
    Batch batch;
    std::exception_ptr error;
    try {
      batch = make_batch(data_, options_, position_ + mine * options_.batch, options_.batch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) error_ = error, stop_ = true;
    slots_[mine % slots].batch = std::move(batch);
    slots_[mine % slots].made = mine;
    changed_.notify_all();
  }
}

const Batch& Loader::next() {
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[++handed_ % static_cast<std::int64_t>(slots_.size())];
  changed_.notify_all();
  changed_.wait(lock, [&] { return error_ || slot.made == handed_; });
  if (error_) std::rethrow_exception(error_);
  return slot.batch;
}

}  // namespace rheo
