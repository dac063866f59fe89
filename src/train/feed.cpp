#include "src/train/feed.h"

#include <algorithm>
#include <utility>

namespace rheo {

Feed::Feed(const Queue& queue, std::int64_t images, const ModelConfig& config)
    : queue_(queue),
      bytes_(device_bytes(images, config) / 2),
      host_memory_(queue, bytes_, "images"),
      next_memory_(queue, bytes_, "images"),
      memory_(queue, bytes_, "images") {
  Arena host(host_memory_.data()), device(memory_.as<void>());
  host_ = place_in(host, images, config), in_use_ = place_in(device, images, config);
}

std::size_t Feed::device_bytes(std::int64_t images, const ModelConfig& config) {
  Arena dry;
  place_in(dry, images, config);
  return 2 * dry.used();  // the batch in use and the one beside it
}

Feed::Place Feed::place_in(Arena& arena, std::int64_t images, const ModelConfig& config) {
  Place place{};
  if (config.is_vector())
    place.points = arena.take<float>(images * config.dims());
  else
    place.pixels = arena.take<std::uint8_t>(images * config.dims());
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
  std::copy(batch.points.begin(), batch.points.end(), host_.points);
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
