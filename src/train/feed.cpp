#include "src/train/feed.h"

#include <algorithm>
#include <utility>

namespace rheo {
namespace {

std::size_t bytes_of(std::int64_t images, std::int64_t dims) {
  Arena dry;
  dry.take<std::uint8_t>(images * dims);
  dry.take<std::int64_t>(images);
  dry.take<int>(images);
  return dry.used();
}

}  // namespace

Feed::Feed(const Queue& queue, std::int64_t images, std::int64_t dims)
    : queue_(queue),
      bytes_(bytes_of(images, dims)),
      host_memory_(queue, bytes_, "images"),
      next_memory_(queue, bytes_, "images"),
      memory_(queue, bytes_, "images"),
      host_(place_in(Arena(host_memory_.data()), images, dims)),
      in_use_(place_in(Arena(memory_.as<void>()), images, dims)) {}

std::size_t Feed::device_bytes(std::int64_t images, std::int64_t dims) {
  return 2 * bytes_of(images, dims);  // the batch in use and the one beside it
}

Feed::Place Feed::place_in(Arena arena, std::int64_t images, std::int64_t dims) {
  Place place{};
  place.pixels = arena.take<std::uint8_t>(images * dims);
  place.samples = arena.take<std::int64_t>(images);
  place.labels = arena.take<int>(images);
  return place;
}

void Feed::start(const Dataset& data, const TrainOptions& options, std::int64_t position) {
  loader_ = std::make_unique<Loader>(data, options, position);
}

void Feed::stop() {
  loader_.reset();
  fetched_ = false, failed_ = nullptr;
}

void Feed::fetch() noexcept {
  try {
    send(loader_->next());
    fetched_ = true;
  } catch (...) {
    failed_ = std::current_exception();
  }
}

void Feed::send(const Batch& batch) {
  queue_.backend().synchronize(queue_.loading());  // the batch before has left the host's memory
  std::copy(batch.pixels.begin(), batch.pixels.end(), host_.pixels);
  std::copy(batch.samples.begin(), batch.samples.end(), host_.samples);
  std::copy(batch.labels.begin(), batch.labels.end(), host_.labels);
  queue_.backend().copy_later(next_memory_.as<void>(), host_memory_.data(), bytes_,
                              queue_.loading());
}

void Feed::take() {
  if (!fetched_ && !failed_) fetch();
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
  queue_.backend().wait(queue_.stream(), queue_.loading());
  queue_.copy(memory_.as<void>(), next_memory_.as<void>(), bytes_);
  // The next batch may not come before this one has moved on.
  queue_.backend().wait(queue_.loading(), queue_.stream());
  fetched_ = false;
}

}  // namespace rheo
