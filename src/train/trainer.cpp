#include "rheo/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/check.h"
#include "src/thread_scope.h"
#include "src/train/impl.h"

namespace rheo {
namespace {

constexpr int kMostSkipped = 20;  // in a row

const Dataset& fitting(const Model& model, const Dataset& data) {
  const ModelConfig& c = model.config();
  require(data.height() == c.height && data.width() == c.width && data.channels() == c.channels,
          "Trainer: images must be ", c.height, "x", c.width, "x", c.channels, "; got ",
          data.height(), "x", data.width(), "x", data.channels());
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

DeviceBuffer zeros(const Backend& backend, std::size_t bytes, const char* what) {
  DeviceBuffer buffer(backend, bytes, what);
  buffer.clear();
  return buffer;
}

}  // namespace

Trainer::Impl::Impl(Model model, const Dataset& train, const TrainOptions& options)
    : model_(std::move(model)),
      data_(fitting(model_, train)),
      fingerprint_(data_.fingerprint()),
      options_(options) {
  options_.validate();
  const Backend& backend = net().backend();
  const Layout& layout = net().layout;
  const std::size_t size = layout.parameters * sizeof(float);
  gradient_ = zeros(backend, size, "gradients");
  first_ = zeros(backend, size, "first moments");
  second_ = zeros(backend, size, "second moments");
  if (options_.average > 0) average_ = zeros(backend, size, "averaged weights");
  dfolded_ = zeros(backend, layout.folded * sizeof(float), "folded gradients");
  dpacked_ = zeros(backend, layout.dpacked * sizeof(float), "packed gradients");
  control_ = zeros(backend, sizeof(AdamControl), "optimiser");
  norm_ = zeros(backend, kAdamParts * sizeof(double), "optimiser");

  const std::int64_t batch = options_.batch, images = batch * options_.accumulate;
  const std::int64_t dims = net().config.dims();
  Arena dry;
  net().flow.plan(dry, batch, true);
  room_ = DeviceBuffer(backend, dry.used(), "activations");
  Arena arena(room_.as<void>());
  buffers_ = net().flow.plan(arena, batch, true);
  pixels_ = DeviceBuffer(backend, batch * dims, "images");
  x_ = DeviceBuffer(backend, batch * dims * sizeof(float), "images");
  samples_ = DeviceBuffer(backend, batch * sizeof(std::int64_t), "images");
  labels_ = DeviceBuffer(backend, batch * sizeof(int), "labels");
  log_prob_ = DeviceBuffer(backend, images * sizeof(double), "losses");
  losses_.resize(images);
  const std::vector<float> weight(batch, -1.f / static_cast<float>(images));
  dlog_prob_ = DeviceBuffer(backend, batch * sizeof(float), "losses");
  dlog_prob_.upload(weight.data(), batch * sizeof(float));
}

void Trainer::Impl::initialize() {
  const std::int64_t count = std::min<std::int64_t>(options_.init_images, data_.size());
  Batch batch = make_batch(data_, options_, 0, count);
  const ModelConfig& c = net().config;
  const Pixels images{{count, c.height, c.width, c.channels}, std::move(batch.pixels)};
  model_.initialize(dequantize(images, c.n_bits, Noise::uniform(options_.seed)));
}

double Trainer::Impl::learning_rate(std::int64_t images) const {
  const TrainOptions& o = options_;
  double rate = o.learning_rate;
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

/// Forward and backward of batch `index` of this update; gradients add up.
void Trainer::Impl::run_batch(const Batch& batch, std::int64_t index) {
  Model::Impl& model = net();
  const Backend& backend = model.backend();
  const std::int64_t count = options_.batch;
  pixels_.upload(batch.pixels.data(), batch.pixels.size());
  samples_.upload(batch.samples.data(), count * sizeof(std::int64_t));
  const bool labelled = model.config.classes > 0;
  if (labelled) labels_.upload(batch.labels.data(), count * sizeof(int));
  backend.pixels_dequantize({.pixels = pixels_.as<std::uint8_t>(),
                             .x = x_.as<float>(),
                             .samples = samples_.as<std::int64_t>(),
                             .count = count,
                             .dims = model.config.dims(),
                             .n_bits = model.config.n_bits,
                             .centre = false,
                             .seed = options_.seed},
                            nullptr);
  const int* labels = labelled ? labels_.as<int>() : nullptr;
  const Weights weights = model.weights();
  model.flow.forward(buffers_, weights, x_.as<float>(), labels, nullptr);
  model.flow.backward(buffers_, weights,
                      {gradient_.as<float>(), dfolded_.as<float>(), dpacked_.as<float>()},
                      dlog_prob_.as<float>(), labels, nullptr);
  backend.copy(log_prob_.as<double>() + index * count, buffers_.log_prob, count * sizeof(double),
               nullptr);
}

void Trainer::Impl::update(double learning_rate) {
  Model::Impl& model = net();
  const Backend& backend = model.backend();
  backend.weights_prepare_backward({.forward = model.weights_args(),
                                    .dfolded = dfolded_.as<float>(),
                                    .dpacked = dpacked_.as<float>(),
                                    .dlog_det = -1,
                                    .dparameters = gradient_.as<float>()},
                                   nullptr);
  const AdamControl control = {learning_rate, 0, at_.updates, 0};
  control_.upload(&control, sizeof control);
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
  backend.adam_norm(adam, nullptr);
  backend.adam_update(adam, nullptr);
  model.changed();
  averaged_is_stale_ = true;
}

StepReport Trainer::Impl::report(double learning_rate) {
  AdamControl control{};
  control_.download(&control, sizeof control);
  log_prob_.download(losses_.data(), losses_.size() * sizeof(double));
  double sum = 0;
  for (double value : losses_) sum += value;
  const ModelConfig& c = net().config;
  at_.updates = control.updates;
  at_.skipped_in_row = control.skip ? at_.skipped_in_row + 1 : 0;
  ++at_.steps;
  return {
      .step = at_.steps,
      .bits_per_dim = bits_per_dim(sum / static_cast<double>(losses_.size()), c.dims(), c.n_bits),
      .gradient_norm = control.norm,
      .learning_rate = learning_rate,
      .skipped = control.skip != 0,
      .skipped_total = at_.steps - at_.updates,
      .images = at_.images};
}

StepReport Trainer::Impl::step() {
  const ThreadScope threads(net().compute.device);
  const RunPosition before = at_;
  try {
    return make_step();
  } catch (...) {
    // As if it had not begun: batches that were handed out are made again.
    at_ = before;
    loader_.reset();
    throw;
  }
}

StepReport Trainer::Impl::make_step() {
  if (!net().initialized) initialize();
  if (!loader_) loader_ = std::make_unique<Loader>(data_, options_, at_.images);
  const Layout& layout = net().layout;
  const Backend& backend = net().backend();
  dfolded_.clear(), dpacked_.clear();
  // Only the top prior's gradients add up in place; all others are written by prepare_backward.
  backend.clear(gradient_.as<float>() + layout.prior_mean,
                (layout.parameters - layout.prior_mean) * sizeof(float), nullptr);
  for (int i = 0; i < options_.accumulate; ++i) {
    run_batch(loader_->next(), i);
    at_.images += options_.batch;
  }
  const double rate = learning_rate(at_.images);
  update(rate);
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
    net().backend().copy(to.parameters(), average_.as<float>(), average_.bytes(), nullptr);
    to.initialized = net().initialized;
    to.changed();
    averaged_is_stale_ = false;
  }
  return *averaged_;
}

Model Trainer::Impl::release() {
  Model& kept = model();
  loader_.reset();
  return std::move(kept);
}

void Trainer::Impl::require_progress() const {
  if (at_.skipped_in_row < kMostSkipped) return;
  fail(Errc::diverged, "Trainer: ", kMostSkipped,
       " updates in a row had a loss or gradient that is not finite, the last at step ", at_.steps,
       "; use a lower learning rate, a longer warm-up or scale = bounded");
}

Trainer::Trainer(Model model, const Dataset& train, const TrainOptions& options) {
  guarded("Trainer", [&] { impl_ = std::make_unique<Impl>(std::move(model), train, options); });
}

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Trainer::Impl& Trainer::impl(const char* who) const {
  require(impl_ != nullptr, who, ": the trainer is empty: it was moved from or released");
  return *impl_;
}

StepReport Trainer::step() {
  Impl& impl = this->impl("Trainer::step");
  const StepReport report = guarded("Trainer::step", [&] { return impl.step(); });
  impl.require_progress();
  return report;
}

Model& Trainer::model() {
  Impl& impl = this->impl("Trainer::model");
  return guarded("Trainer::model", [&]() -> Model& { return impl.model(); });
}

Model Trainer::release() {
  Impl& impl = this->impl("Trainer::release");
  Model model = guarded("Trainer::release", [&] { return impl.release(); });
  impl_.reset();
  return model;
}

void Trainer::save(const std::string& folder) {
  Impl& impl = this->impl("Trainer::save");
  guarded("Trainer::save", [&] { impl.save(folder); });
}

const TrainOptions& Trainer::options() const {
  return impl("Trainer::options").options();
}
std::int64_t Trainer::steps_done() const {
  return impl("Trainer::steps_done").steps_done();
}

}  // namespace rheo
