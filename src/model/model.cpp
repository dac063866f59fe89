#include "rheo/model.h"

#include <algorithm>
#include <cmath>

#include "src/check.h"
#include "src/model/impl.h"

namespace rheo {

Model::Model(const ModelConfig& config, std::uint64_t seed, const Compute& compute) {
  guarded("Model", [&] {
    impl_ = std::make_unique<Impl>(config, compute);
    randomize(*impl_, seed);
    impl_->initialized = !impl_->layout.has_actnorm();
  });
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model::Impl& Model::impl(const char* who) const {
  require(impl_ != nullptr, who, ": the model was moved from; use the one it was moved to");
  return *impl_;
}

void Model::save(const std::string& path) const {
  Impl& impl = this->impl("Model::save");
  guarded("Model::save", [&] {
    const std::string bad = impl.bad_parameter();
    if (!bad.empty()) fail(Errc::diverged, "Model::save: ", bad, "; nothing was written");
    save_checkpoint(impl, path);
  });
}

const ModelConfig& Model::config() const {
  return impl("Model::config").config;
}
const Compute& Model::compute() const {
  return impl("Model::compute").compute;
}
bool Model::initialized() const {
  return impl("Model::initialized").initialized;
}

std::int64_t Model::parameter_count() const {
  return impl("Model::parameter_count").layout.parameters;
}

MemoryPlan Model::plan(int batch) const {
  return guarded("Model::plan", [&] {
    const Impl& impl = this->impl("Model::plan");
    require(batch >= 0, "Model::plan: batch must be at least 0; got ", batch);
    const DeviceScope scope(impl.compute.device);
    constexpr std::int64_t kMost = 1 << 24;  // images: no machine holds more
    const auto activations = [&](std::int64_t images) {
      return static_cast<std::int64_t>(impl.activation_bytes(images, Keep::nothing));
    };
    const auto workspace = [&](std::int64_t images) {
      return static_cast<std::int64_t>(impl.batch_bytes(images).all());
    };
    const auto both = [&](std::int64_t n) { return activations(n) + workspace(n); };
    MemoryPlan plan;
    plan.batch = batch ? batch : impl.batch_of(kMost);
    plan.weights = static_cast<std::int64_t>(impl.weight_bytes());
    plan.activations = activations(plan.batch);
    plan.workspace =
        workspace(plan.batch) + static_cast<std::int64_t>(impl.backend().overhead_bytes);
    plan.per_image = (both(2 * plan.batch) - both(plan.batch)) / plan.batch;
    plan.free = static_cast<std::int64_t>(impl.backend().free_bytes());
    plan.largest_batch = largest_fitting(kMost, plan.free, both);
    return plan;
  });
}

void Model::initialize(const Tensor& x) {
  constexpr const char* kWho = "Model::initialize";
  guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    impl.require_images(kWho, x);
    require(x.shape[0] > 0, kWho, ": x must hold at least one ", item_of(impl.config),
            "; got none");
    const DeviceScope scope(impl.compute.device);
    impl.initialized = false;  // until all of it is done
    initialize_from(impl, x);
    if (const std::string bad = impl.bad_parameter(); !bad.empty())
      fail(Errc::diverged, kWho, ": ", bad, "; float32 does not carry values of x so large");
    impl.initialized = true;
  });
}

std::vector<double> Model::log_prob(const Tensor& x, const Labels& labels,
                                    const Progress& progress) {
  constexpr const char* kWho = "Model::log_prob";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    impl.require_initialized(kWho);
    impl.require_images(kWho, x);
    impl.require_labels(kWho, labels, x.shape[0], true);
    return impl.run_forward(kWho, x, labels, nullptr, progress);
  });
}

Tensor Model::encode(const Tensor& x, const Labels& labels, const Progress& progress) {
  constexpr const char* kWho = "Model::encode";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    impl.require_initialized(kWho);
    impl.require_images(kWho, x);
    impl.require_labels(kWho, labels, x.shape[0], false);
    Tensor latents{{x.shape[0], config().dims()}, std::vector<float>(x.data.size())};
    impl.run_forward(kWho, x, labels, &latents, progress);
    return latents;
  });
}

Tensor Model::decode(const Tensor& latents, const Labels& labels, const Progress& progress) {
  constexpr const char* kWho = "Model::decode";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    const std::int64_t dims = impl.config.dims();
    impl.require_initialized(kWho);
    require(latents.shape.size() == 2 && latents.shape[1] == dims, kWho, ": latents must be [N, ",
            dims, "]; got ", to_string(latents.shape));
    impl.require_finite(kWho, "latents", latents);
    const std::int64_t images = latents.shape[0];
    impl.require_labels(kWho, labels, images, false);
    const auto fill = [&](std::int64_t first, std::int64_t count) {
      impl.queue.copy(impl.batch_eps(), latents.data.data() + first * dims,
                      count * dims * sizeof(float));
    };
    return impl.run_inverse(kWho, images, impl.batch_of(images), labels, fill, progress);
  });
}

Tensor Model::sample(std::int64_t count, const SampleOptions& options, const Progress& progress) {
  constexpr const char* kWho = "Model::sample";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    const std::int64_t dims = impl.config.dims();
    impl.require_initialized(kWho);
    require(count >= 0, kWho, ": count must be at least 0; got ", count);
    count_values(kWho, {count, dims});
    require(options.temperature >= 0 && std::isfinite(options.temperature), kWho,
            ": temperature must be finite and at least 0; got ", options.temperature);
    require(options.first >= 0, kWho, ": first must be at least 0; got ", options.first);
    require(options.first <= INT64_MAX - count, kWho,
            ": first + count must be below 2^63; got first ", options.first);
    require(options.batch >= 0, kWho, ": batch must be at least 0; got ", options.batch);
    const bool one = options.labels.size() == 1;
    impl.require_labels(kWho, options.labels, one ? 1 : count, count == 0);
    const auto fill = [&](std::int64_t first, std::int64_t images) {
      impl.backend().prior_noise({.eps = impl.batch_eps(),
                                  .count = images,
                                  .dims = dims,
                                  .first = options.first + first,
                                  .seed = options.seed,
                                  .temperature = static_cast<float>(options.temperature),
                                  .kind = impl.flow.prior_kind()},
                                 impl.queue.stream());
    };
    const Labels labels = one ? Labels(count, options.labels[0]) : options.labels;
    const std::int64_t batch = impl.batch_of(count, options.batch);
    return impl.run_inverse(kWho, count, batch, labels, fill, progress);
  });
}

}  // namespace rheo
