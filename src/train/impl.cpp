#include "rheo/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/check.h"
#include "src/data/match.h"
#include "src/train/impl.h"

namespace rheo {
namespace {

const Dataset& fitting(const Model& model, const Dataset& data, const TrainOptions& options) {
  const ModelConfig& c = model.config();
  require_match("Trainer", c, data);
  require(!data.is_points() || (!options.flip && options.shift == 0),
          "Trainer: flip and shift are for images; the data are vectors");
  require(c.classes == 0 || !data.labels().empty(), "Trainer: a model with ", c.classes,
          " classes needs labels; the data have none");
  require(c.classes == 0 || data.classes() <= c.classes, "Trainer: labels must be 0..",
          c.classes - 1, "; the data have ", data.classes(), " classes");
  return data;
}

AdamKind kind_of(Optimizer optimizer) {
  return optimizer == Optimizer::adam     ? AdamKind::adam
         : optimizer == Optimizer::adamax ? AdamKind::adamax
                                          : AdamKind::adamax_openai;
}

const TrainOptions& validated(const TrainOptions& options) {
  options.validate();
  return options;
}

}  // namespace

Trainer::Impl::Impl(Model model, const Dataset& train, const TrainOptions& options,
                    std::string fingerprint)
    : model_(std::move(model)),
      data_(fitting(model_, train, options)),
      fingerprint_(fingerprint.empty() ? data_.fingerprint() : std::move(fingerprint)),
      options_(validated(options)),
      whole_step_(net().queue) {
  const DeviceScope scope(net().compute.device);
  net().queue.open_loading();
  if (net().compute.memory == Memory::full || net().compute.memory == Memory::automatic)
    net().queue.open_sides();  // before it is asked what is free
  plan_ = planned(net(), options_, net().compute.memory);
  net().compute.memory = plan_.memory;
  if (plan_.memory != Memory::full) net().queue.close_sides();
  for (const auto& pieces : {optimizer_pieces(net(), options_), batch_pieces(net(), options_)})
    for (const Piece& piece : pieces) {
      DeviceBuffer& buffer = this->*piece.buffer;
      buffer = DeviceBuffer(net().queue, static_cast<std::size_t>(piece.bytes), piece.what);
      buffer.clear();
    }
  const std::int64_t batch = options_.batch, images = batch * options_.accumulate;
  losses_.resize(images);
  const std::vector<float> weight(batch, -1.f / static_cast<float>(images));
  dlog_prob_.upload(weight.data(), batch * sizeof(float));
  feed_ = std::make_unique<Feed>(net().queue, batch, net().config);
  // Last, so that what is said to fit when it does not leaves room for all of the above.
  take_room();
}

void Trainer::Impl::take_room() {
  const Keep keep = keep_of(net().compute.memory);
  room_ = net().activations(options_.batch, keep);
  Arena arena(room_.as<void>());
  buffers_ = net().flow.plan(arena, options_.batch, keep);
}

void Trainer::Impl::initialize() {
  const std::int64_t count = std::min<std::int64_t>(options_.init_images, data_.size());
  Batch batch = make_batch(data_, options_, 0, count);
  const ModelConfig& c = net().config;
  const Pixels images{{count, c.height, c.width, c.channels}, std::move(batch.pixels)};
  room_ = {};  // what follows may take its place
  model_.initialize(data_.is_points()
                        ? Tensor{{count, c.dims()}, std::move(batch.points)}
                        : dequantize(images, c.n_bits, Noise::uniform(options_.seed)));
  net().release_room();
}

double Trainer::Impl::learning_rate(std::int64_t images) const {
  const TrainOptions& o = options_;
  double rate = std::ldexp(o.learning_rate, -static_cast<int>(at_.rollbacks));
  if (images < o.warmup_images)
    rate *= static_cast<double>(images) / static_cast<double>(o.warmup_images);
  if (o.schedule == Schedule::cosine) {
    constexpr double kLeast = 0.01;
    const double done =
        std::min(1.0, static_cast<double>(at_.steps) / static_cast<double>(o.steps));
    rate *= kLeast + (1 - kLeast) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  }
  return rate;
}

void Trainer::Impl::clear_gradients() {
  const Layout& layout = net().layout;
  dfolded_.clear(), dpacked_.clear();
  // What weights_prepare_backward does not write adds up in place.
  net().queue.clear(gradient_.as<float>() + layout.added,
                    (layout.parameters - layout.added) * sizeof(float));
}

/// The batch as the model takes it: points as they are, pixels with noise.
const float* Trainer::Impl::batch_x() {
  Model::Impl& model = net();
  if (data_.is_points()) return feed_->points();
  model.backend().pixels_dequantize({.pixels = feed_->pixels(),
                                     .x = x_.as<float>(),
                                     .samples = feed_->samples(),
                                     .count = options_.batch,
                                     .dims = model.config.dims(),
                                     .n_bits = model.config.n_bits,
                                     .centre = false,
                                     .seed = options_.seed},
                                    model.queue.stream());
  return x_.as<float>();
}

const int* Trainer::Impl::batch_labels() const {
  return model_.config().classes > 0 ? feed_->labels() : nullptr;
}

/// Forward and backward of batch `index` of this update; gradients add up.
void Trainer::Impl::run_batch(std::int64_t index) {
  Model::Impl& model = net();
  const std::int64_t count = options_.batch;
  const float* x = batch_x();
  const int* labels = batch_labels();
  const Weights weights = model.folded();
  model.flow.forward(buffers_, weights, x, labels, nullptr);
  model.flow.backward(buffers_, weights,
                      {gradient_.as<float>(), dfolded_.as<float>(), dpacked_.as<float>()},
                      dlog_prob_.as<float>(), labels, nullptr);
  model.queue.copy(log_prob_.as<double>() + index * count, buffers_.log_prob,
                   count * sizeof(double));
}

void Trainer::Impl::update() {
  Model::Impl& model = net();
  const Backend& backend = model.backend();
  backend.weights_prepare_backward({.forward = model.weights_args(),
                                    .dfolded = dfolded_.as<float>(),
                                    .dpacked = dpacked_.as<float>(),
                                    .dlog_det = -1,
                                    .dparameters = gradient_.as<float>()},
                                   model.queue.stream());
  const AdamArgs adam = {.control = control_.as<AdamControl>(),
                         .log_prob = log_prob_.as<double>(),
                         .log_prob_count = std::int64_t{options_.batch} * options_.accumulate,
                         .gradient = gradient_.as<float>(),
                         .parameters = model.parameters(),
                         .first = first_.as<float>(),
                         .second = second_.as<float>(),
                         .average = options_.average > 0 ? average_.as<float>() : nullptr,
                         .size = model.layout.parameters,
                         .kind = kind_of(options_.optimizer),
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .epsilon = options_.epsilon,
                         .clip_norm = options_.clip_norm,
                         .average_decay = options_.average,
                         .workspace = norm_.as<double>()};
  backend.adam_norm(adam, model.queue.stream());
  backend.adam_update(adam, model.queue.stream());
}

StepReport Trainer::Impl::report(double learning_rate) {
  AdamControl control{};
  control_.download(&control, sizeof control);
  log_prob_.download(losses_.data(), losses_.size() * sizeof(double));
  double sum = 0;
  for (double value : losses_) sum += value;
  const ModelConfig& c = net().config;
  const double log_prob = sum / static_cast<double>(losses_.size());
  at_.updates = control.updates;
  at_.skipped_in_row = control.skip ? at_.skipped_in_row + 1 : 0;
  ++at_.steps;
  return {.step = at_.steps,
          .bits_per_dim = bits_per_dim(log_prob, c.dims(), c.is_vector() ? 0 : c.n_bits),
          .gradient_norm = control.norm,
          .learning_rate = learning_rate,
          .skipped = control.skip != 0,
          .skipped_total = at_.steps - at_.updates,
          .images = at_.images,
          .nats = -log_prob};
}

StepReport Trainer::Impl::step() {
  const DeviceScope scope(net().compute.device);
  const RunPosition before = at_;
  try {
    return make_step();
  } catch (...) {
    // As if it had not begun: batches that were handed out are made again.
    at_ = before;
    feed_->stop();
    throw;
  }
}

StepReport Trainer::Impl::make_step() {
  if (!net().initialized) initialize();
  if (room_.bytes() == 0) take_room();
  if (!feed_->started()) feed_->start(data_, options_, at_.images);
  at_.images += std::int64_t{options_.batch} * options_.accumulate;
  const double rate = learning_rate(at_.images);
  const AdamControl control = {rate, 0, at_.updates, 0};
  control_.upload(&control, sizeof control);
  const auto prepare = [&] {
    net().prepare();
    clear_gradients();
  };
  net().changed(), averaged_is_stale_ = true;
  if (options_.accumulate == 1) {
    feed_->take();
    whole_step_.run([&] { prepare(), run_batch(0), update(); });
    feed_->fetch();
  } else {
    prepare();
    for (int i = 0; i < options_.accumulate; ++i) feed_->take(), run_batch(i), feed_->fetch();
    update();
  }
  return report(rate);
}

Model& Trainer::Impl::model() {
  if (options_.average == 0 || at_.updates == 0) return model_;
  if (!averaged_) {
    Model fresh(net().config, 0, net().compute);
    for (const ParameterInfo& tensor : net().layout.tensors)
      if (tensor.kind != ParameterInfo::Kind::trainable)
        fresh.impl().write(tensor, net().read(tensor));
    averaged_ = std::move(fresh);
  }
  if (averaged_is_stale_) {
    Model::Impl& to = averaged_->impl();
    net().queue.synchronize();  // the other model has a stream of its own
    to.queue.copy(to.parameters(), average_.as<float>(), average_.bytes());
    to.queue.synchronize();  // the next step moves the average
    to.initialized = net().initialized;
    to.changed();
    averaged_is_stale_ = false;
  }
  return *averaged_;
}

Model Trainer::Impl::release() {
  Model& kept = model();
  feed_->stop();
  whole_step_.reset();
  net().queue.close_sides();
  return std::move(kept);
}

}  // namespace rheo
