#include "rheo/model.h"

#include <algorithm>
#include <cmath>

#include "src/check.h"
#include "src/model/impl.h"

namespace rheo {

Model::Model(const ModelConfig& config, std::uint64_t seed, const Compute& compute)
    : impl_(std::make_unique<Impl>(config, compute)) {
  randomize(*impl_, seed);
  impl_->initialized = false;
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

void Model::save(const std::string& path) const {
  save_checkpoint(*impl_, path);
}

const ModelConfig& Model::config() const {
  return impl_->config;
}
const Compute& Model::compute() const {
  return impl_->compute;
}
std::int64_t Model::parameter_count() const {
  return impl_->layout.parameters;
}
bool Model::initialized() const {
  return impl_->initialized;
}

void Model::initialize(const Tensor& x) {
  impl_->require_images("Model::initialize", x);
  require(x.shape[0] > 0, "Model::initialize: x must hold at least one image; got none");
  impl_->use_threads();
  initialize_from(*impl_, x);
  impl_->initialized = true;
}

std::vector<double> Model::log_prob(const Tensor& x, const Labels& labels,
                                    const Progress& progress) {
  constexpr const char* kWho = "Model::log_prob";
  impl_->require_initialized(kWho);
  impl_->require_images(kWho, x);
  impl_->require_labels(kWho, labels, x.shape[0], true);
  return impl_->run_forward(kWho, x, labels, nullptr, progress);
}

Tensor Model::encode(const Tensor& x, const Labels& labels, const Progress& progress) {
  constexpr const char* kWho = "Model::encode";
  impl_->require_initialized(kWho);
  impl_->require_images(kWho, x);
  impl_->require_labels(kWho, labels, x.shape[0], false);
  Tensor latents{{x.shape[0], config().dims()}, std::vector<float>(x.data.size())};
  impl_->run_forward(kWho, x, labels, &latents, progress);
  return latents;
}

Tensor Model::decode(const Tensor& latents, const Labels& labels, const Progress& progress) {
  constexpr const char* kWho = "Model::decode";
  const ModelConfig& c = config();
  impl_->require_initialized(kWho);
  require(latents.shape.size() == 2 && latents.shape[0] >= 0 && latents.shape[1] == c.dims(), kWho,
          ": latents must be [N, ", c.dims(), "]; got ", to_string(latents.shape));
  const std::int64_t images = latents.shape[0];
  require(static_cast<std::int64_t>(latents.data.size()) == images * c.dims(), kWho,
          ": latents must have as many values as their shape says; got ", latents.data.size());
  impl_->require_labels(kWho, labels, images, false);
  for (std::size_t i = 0; i < latents.data.size(); ++i)
    require(std::isfinite(latents.data[i]), kWho, ": latents must be finite; value ", i % c.dims(),
            " of image ", i / c.dims(), " is ", latents.data[i]);
  Tensor x{{images, c.height, c.width, c.channels}, std::vector<float>(latents.data.size())};
  impl_->use_threads();
  const std::int64_t batch = impl_->batch_of(images);
  for (std::int64_t first = 0; first < images; first += batch) {
    const std::int64_t count = std::min(batch, images - first);
    impl_->room_for(count);
    const Backend& backend = impl_->backend();
    backend.copy(impl_->batch_eps(), latents.data.data() + first * c.dims(),
                 count * c.dims() * sizeof(float), nullptr);
    if (!labels.empty())
      backend.copy(impl_->batch_labels(), labels.data() + first, count * sizeof(int), nullptr);
    impl_->run_inverse(kWho, first, count, labels.empty() ? nullptr : impl_->batch_labels(), x);
    if (progress) progress(first + count, images);
  }
  return x;
}

Tensor Model::sample(std::int64_t count, const SampleOptions& options, const Progress& progress) {
  constexpr const char* kWho = "Model::sample";
  const ModelConfig& c = config();
  impl_->require_initialized(kWho);
  require(count >= 0, kWho, ": count must be at least 0; got ", count);
  require(options.temperature >= 0 && std::isfinite(options.temperature), kWho,
          ": temperature must be finite and at least 0; got ", options.temperature);
  require(options.first >= 0, kWho, ": first must be at least 0; got ", options.first);
  require(options.batch >= 0, kWho, ": batch must be at least 0; got ", options.batch);
  const bool one = options.labels.size() == 1;
  const Labels labels = one ? Labels(count, options.labels[0]) : options.labels;
  if (one) impl_->require_labels(kWho, options.labels, 1, false);
  impl_->require_labels(kWho, labels, count, count == 0);
  Tensor x{{count, c.height, c.width, c.channels}, std::vector<float>(count * c.dims())};
  impl_->use_threads();
  const std::int64_t batch = impl_->batch_of(count, options.batch);
  for (std::int64_t done = 0; done < count; done += batch) {
    const std::int64_t images = std::min(batch, count - done);
    impl_->room_for(images);
    const Backend& backend = impl_->backend();
    backend.prior_noise({.eps = impl_->batch_eps(),
                         .count = images,
                         .dims = c.dims(),
                         .first = options.first + done,
                         .seed = options.seed,
                         .temperature = static_cast<float>(options.temperature)},
                        nullptr);
    if (!labels.empty())
      backend.copy(impl_->batch_labels(), labels.data() + done, images * sizeof(int), nullptr);
    impl_->run_inverse(kWho, done, images, labels.empty() ? nullptr : impl_->batch_labels(), x);
    if (progress) progress(done + images, count);
  }
  return x;
}

Score score(Model& model, const Dataset& data, const Noise& noise, const Progress& progress) {
  const ModelConfig& c = model.config();
  require(data.height() == c.height && data.width() == c.width && data.channels() == c.channels,
          "score: images must be ", c.height, "x", c.width, "x", c.channels, "; got ",
          data.height(), "x", data.width(), "x", data.channels());
  constexpr std::int64_t kChunk = 1024;  // so that the float images of a large set fit
  double sum = 0, squares = 0;
  for (std::int64_t first = 0; first < data.size(); first += kChunk) {
    const Dataset part = data.slice(first, std::min(kChunk, data.size() - first));
    const Tensor x = dequantize(part.images(), c.n_bits, noise, first);
    const Progress within = [&](std::int64_t done, std::int64_t) {
      if (progress) progress(first + done, data.size());
    };
    for (double log_prob : model.log_prob(x, c.classes ? part.labels() : Labels{}, within)) {
      const double bits = bits_per_dim(log_prob, c.dims(), c.n_bits);
      sum += bits, squares += bits * bits;
    }
  }
  const double n = static_cast<double>(data.size()), mean = sum / n;
  const double variance = n > 1 ? std::max(0.0, (squares - n * mean * mean) / (n - 1)) : 0;
  return {mean, std::sqrt(variance / n), data.size()};
}

}  // namespace rheo
