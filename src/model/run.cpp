// Any number of images or vectors through the flow, a batch at a time.

#include <algorithm>
#include <cmath>

#include "src/check.h"
#include "src/model/impl.h"

namespace rheo {
namespace {

/// log of the mean of exp(values), one for each image: values [classes][count].
void log_mean_exp(const std::vector<double>& values, std::int64_t classes, std::int64_t count,
                  double* result) {
  for (std::int64_t n = 0; n < count; ++n) {
    double most = values[n], sum = 0;
    for (std::int64_t y = 1; y < classes; ++y) most = std::max(most, values[y * count + n]);
    for (std::int64_t y = 0; y < classes; ++y) sum += std::exp(values[y * count + n] - most);
    result[n] = most + std::log(sum) - std::log(static_cast<double>(classes));
  }
}

}  // namespace

std::int64_t first_bad(const float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i])) return i;
  return -1;
}

void Model::Impl::all_classes(const FlowBuffers& b, std::int64_t count, double* log_prob) {
  std::vector<double> each(config.classes * count);
  for (int y = 0; y < config.classes; ++y) {
    const Labels labels(count, y);
    labels_.upload(labels.data(), count * sizeof(int));
    flow.top_log_prob(b, weights(), batch_labels(), nullptr);
    queue.download(each.data() + y * count, b.log_prob, count * sizeof(double));
  }
  log_mean_exp(each, config.classes, count, log_prob);
}

std::vector<double> Model::Impl::run_forward(const char* who, const Tensor& x, const Labels& labels,
                                             Tensor* latents, const Progress& progress) {
  const std::int64_t images = x.shape[0], dims = config.dims(), batch = batch_of(images);
  std::vector<double> log_prob(images);
  const DeviceScope scope(compute.device);
  for (std::int64_t first = 0; first < images; first += batch) {
    const std::int64_t count = std::min(batch, images - first);
    const FlowBuffers& b = room_for(count);
    x_.upload(x.data.data() + first * dims, count * dims * sizeof(float));
    if (!labels.empty()) labels_.upload(labels.data() + first, count * sizeof(int));
    const Weights w = weights();
    const Pass pass = {count, !labels.empty(), latents != nullptr};
    if (pass != forward_of_) forward_.reset();
    forward_of_ = pass;
    forward_.run([&] {
      flow.forward(b, w, batch_x(), pass.labelled ? batch_labels() : nullptr,
                   pass.latents ? batch_eps() : nullptr);
    });
    if (config.classes && labels.empty())
      all_classes(b, count, log_prob.data() + first);
    else
      queue.copy(log_prob.data() + first, b.log_prob, count * sizeof(double));
    if (latents)
      latents_.download(latents->data.data() + first * dims, count * dims * sizeof(float));
    queue.synchronize();
    for (std::int64_t n = first; n < first + count; ++n)
      if (!std::isfinite(log_prob[n]))
        fail(Errc::diverged, who, ": log p of ", item_of(config), " ", n, " is ", log_prob[n],
             where_bad(batch_x() + (n - first) * dims,
                       pass.labelled ? batch_labels() + n - first : nullptr),
             "; the model's weights do not carry it");
    if (progress) progress(first + count, images);
  }
  return log_prob;
}

Tensor Model::Impl::run_inverse(const char* who, std::int64_t images, std::int64_t batch,
                                const Labels& labels,
                                const std::function<void(std::int64_t, std::int64_t)>& fill,
                                const Progress& progress) {
  const std::int64_t dims = config.dims();
  Tensor x{shape_of(images), std::vector<float>(images * dims)};
  const DeviceScope scope(compute.device);
  for (std::int64_t first = 0; first < images; first += batch) {
    const std::int64_t count = std::min(batch, images - first);
    const FlowBuffers& b = room_for(count);
    fill(first, count);
    if (!labels.empty()) labels_.upload(labels.data() + first, count * sizeof(int));
    const int* rows = labels.empty() ? nullptr : batch_labels();
    const Weights w = weights();
    const Pass pass = {count, rows != nullptr, true};
    if (pass != inverse_of_) inverse_.reset();
    inverse_of_ = pass;
    inverse_.run([&] { flow.inverse(b, w, batch_eps(), rows, batch_x(), [](int, int) {}); });
    float* to = x.data.data() + first * dims;
    x_.download(to, count * dims * sizeof(float));
    if (first_bad(to, count * dims) >= 0) name_bad_layer(who, first, count, rows);
    if (progress) progress(first + count, images);
  }
  return x;
}

std::string Model::Impl::where_bad(const float* x, const int* label) {
  const std::string layer = bad_layer(x, label);
  return layer.empty() ? "" : " (" + layer + ")";
}

std::string Model::Impl::remedy() const {
  // Of an additive Glow the scale bounds the splits and the top all the same.
  const bool scaled = config.family == Family::glow ||
                      (config.family == Family::realnvp && config.coupling == Coupling::affine);
  return scaled && config.scale != Scale::bounded
             ? "use a lower temperature, or a model trained with scale = bounded"
             : "use a lower temperature";
}

void Model::Impl::name_bad_layer(const char* who, std::int64_t first, std::int64_t count,
                                 const int* labels) {
  flow.inverse(buffers_, weights(), batch_eps(), labels, batch_x(), [&](int level, int step) {
    const FlowBuffers::Level& at = buffers_.levels[level];
    const std::int64_t size = at.grid.image_pixels() * layout.levels[level].channels;
    std::vector<float> state(count * size);
    queue.download(state.data(), at.state, state.size() * sizeof(float));
    const std::int64_t bad = first_bad(state.data(), static_cast<std::int64_t>(state.size()));
    if (bad < 0) return;
    fail(Errc::diverged, who, ": ", item_of(config), " ", first + bad / size,
         " is not finite from ", place_of(config, level, step), " on; ", remedy());
  });
  fail(Errc::diverged, who, ": one ", item_of(config), " is not finite");
}

}  // namespace rheo
