// What a trainer does about numbers that left the finite range, besides skipping the update.

#include <algorithm>
#include <cmath>

#include "src/check.h"
#include "src/train/impl.h"

namespace rheo {
namespace {

constexpr int kMostSkipped = 20;  // in a row

double squares_of(const Queue& queue, const float* flat, std::int64_t size) {
  double sum = 0;
  queue.download_pieces(flat, size, [&](const float* values, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  });
  return sum;
}

}  // namespace

void Trainer::Impl::require_progress() {
  if (at_.skipped_in_row < kMostSkipped) return;
  fail(Errc::diverged, "Trainer: ", kMostSkipped,
       " updates in a row had a loss or gradient that is not finite, the last at step ", at_.steps,
       ": ", fault(),
       "; use a lower learning rate or a longer warm-up, or for images scale = bounded");
}

std::string Trainer::Impl::fault() {
  Model::Impl& model = net();
  const DeviceScope scope(model.compute.device);
  // The last batch of the update still lies where it was.
  const auto last = losses_.end() - options_.batch;
  const auto bad = std::find_if(last, losses_.end(), [](double p) { return !std::isfinite(p); });
  const std::int64_t n = bad == losses_.end() ? 0 : bad - last;
  const int* labels = batch_labels();
  const std::string layer =
      model.bad_layer(batch_x() + n * model.config.dims(), labels ? labels + n : nullptr);
  if (!layer.empty()) return layer;
  const float* gradient = gradient_.as<float>();
  // Backward comes to the last layer first.
  const std::string tensor = bad_tensor(model.layout, model.queue, gradient, true);
  if (!tensor.empty()) return "the gradient of " + tensor;
  const double squares = squares_of(model.queue, gradient, model.layout.parameters);
  return math::adam_overflows(squares, options_.clip_norm)
             ? "the gradient of all weights: float32 does not hold its square"
             : "no layer nor gradient when it was made again";
}

void Trainer::Impl::require_sound() {
  constexpr const char* kWho = "Trainer::save: no checkpoint is made of a model that diverged: ";
  Model::Impl& model = net();
  const DeviceScope scope(model.compute.device);
  if (const std::string bad = model.bad_parameter(); !bad.empty()) fail(Errc::diverged, kWho, bad);
  for (const Named& named : state()) {
    const std::string bad = bad_tensor(model.layout, model.queue, named.buffer->as<float>());
    if (!bad.empty()) fail(Errc::diverged, kWho, "the optimiser's ", named.name, " of ", bad);
  }
  if (!feed_->started()) return;
  // The last update may have made weights whose next loss is not finite: the batch that it was made
  // of tells, in the room that training has anyway.
  const float* x = batch_x();
  const int* labels = batch_labels();
  model.flow.forward(buffers_, model.weights(), x, labels, nullptr);
  std::vector<double> log_prob(options_.batch);
  model.queue.download(log_prob.data(), buffers_.log_prob, log_prob.size() * sizeof(double));
  for (std::int64_t n = 0; n < options_.batch; ++n) {
    if (std::isfinite(log_prob[n])) continue;
    const std::string layer =
        model.bad_layer(x + n * model.config.dims(), labels ? labels + n : nullptr);
    fail(Errc::diverged, kWho,
         layer.empty() ? "log p of its last batch is not finite, in no layer when made again"
                       : layer);
  }
}

}  // namespace rheo
