#pragma once

#include <cmath>
#include <vector>

#include "rheo/rheo.h"
#include "src/model/impl.h"

namespace rheo::test {

/// |got - want| / |want| as vectors; absolute where `want` is zero.
template <class T>
double relative_l2(const float* got, const std::vector<T>& want) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const auto wanted = static_cast<double>(want[i]);
    error += std::pow(static_cast<double>(got[i]) - wanted, 2);
    size += wanted * wanted;
  }
  return std::sqrt(size > 0 ? error / size : error);
}

/// The gradient of -mean log p, as training computes it.
struct Gradient {
  std::vector<float> parameters, x;
};

inline std::vector<float> downloaded(const DeviceBuffer& buffer) {
  std::vector<float> values(buffer.bytes() / sizeof(float));
  buffer.download(values.data(), buffer.bytes());
  return values;
}

inline Gradient gradient_of(Model::Impl& model, const Tensor& x, const Labels& labels,
                            Keep keep = Keep::full) {
  const std::int64_t count = x.shape[0];
  const auto room = [&](std::int64_t values) {
    DeviceBuffer buffer(model.queue, values * sizeof(float), "test");
    buffer.clear();
    return buffer;
  };
  model.queue.open_sides();
  const DeviceBuffer activations = model.activations(count, keep);
  Arena arena(activations.as<void>());
  const FlowBuffers buffers = model.flow.plan(arena, count, keep);
  const auto values = static_cast<std::int64_t>(x.data.size());
  DeviceBuffer images = room(values), weight = room(count), rows = room(count);
  const DeviceBuffer dx = room(values), parameters = room(model.layout.parameters);
  const DeviceBuffer folded = room(model.layout.folded), packed = room(model.layout.dpacked);
  images.upload(x.data.data(), images.bytes());
  const std::vector<float> share(count, -1.f / static_cast<float>(count));
  weight.upload(share.data(), weight.bytes());
  if (!labels.empty()) rows.upload(labels.data(), rows.bytes());
  const int* label_rows = labels.empty() ? nullptr : rows.as<int>();
  const Weights w = model.weights();
  model.flow.forward(buffers, w, images.as<float>(), label_rows, nullptr);
  model.flow.backward(buffers, w, {parameters.as<float>(), folded.as<float>(), packed.as<float>()},
                      weight.as<float>(), label_rows, dx.as<float>());
  model.backend().weights_prepare_backward(
      {model.weights_args(), folded.as<float>(), packed.as<float>(), -1, parameters.as<float>()},
      model.queue.stream());
  return {downloaded(parameters), downloaded(dx)};
}

}  // namespace rheo::test
