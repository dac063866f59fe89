// Vectors on their way through a flow, for looking at.

#include <algorithm>
#include <numeric>

#include "src/check.h"
#include "src/model/impl.h"

namespace rheo {
namespace {

/// Which coordinate of the data each coordinate is after so many steps; itself where permutations
/// are learned, since a state has no coordinates of the data then.
std::vector<int> data_coordinates(const Model::Impl& model, int steps) {
  std::vector<int> at(model.config.channels);
  std::iota(at.begin(), at.end(), 0);
  if (model.config.permutation == Permutation::lu) return at;
  int seen = 0;
  for (const ParameterInfo& tensor : model.layout.tensors) {
    if (tensor.kind != ParameterInfo::Kind::permutation || seen++ >= steps) continue;
    const std::vector<float> order = model.read(tensor);
    const std::vector<int> before = at;
    for (std::size_t i = 0; i < at.size(); ++i) at[i] = before[static_cast<std::size_t>(order[i])];
  }
  return at;
}

void require_steps(const char* who, const Model::Impl& model, const Tensor& values, int steps) {
  const ModelConfig& c = model.config;
  require(c.is_vector(), who, ": is for models of vectors; this one is of images");
  require(steps >= 0 && steps <= c.steps, who, ": steps must be 0..", c.steps,
          ", those of the model; got ", steps);
  model.require_initialized(who);
  model.require_images(who, values);
}

}  // namespace

Tensor Model::Impl::run_steps(const char* who, const Tensor& values, int steps, bool forward,
                              const Progress& progress) {
  constexpr std::int64_t kBatch = 4096;
  const std::int64_t count = values.shape[0], dims = config.dims();
  const int done = forward ? steps : config.steps - steps;  // between the data and the state
  const DeviceScope scope(compute.device);
  const std::vector<int> at = data_coordinates(*this, done);
  Tensor result{values.shape, std::vector<float>(values.data.size())};
  for (std::int64_t first = 0; first < count; first += kBatch) {
    const std::int64_t n = std::min(kBatch, count - first);
    const std::size_t bytes = n * dims * sizeof(float);
    const DeviceBuffer room = activations(n, Keep::full);
    Arena arena(room.as<void>());
    const FlowBuffers b = flow.plan(arena, n, Keep::full);
    DeviceBuffer here(queue, bytes, "vectors");
    here.upload(values.data.data() + first * dims, bytes);
    const Weights w = weights();
    std::vector<float> state(n * dims);
    const FlowBuffers::Level& level = b.levels[0];
    if (forward) {
      flow.forward(b, w, here.as<float>(), nullptr, nullptr);
      const float* from = done == 0              ? level.entry
                          : done == config.steps ? level.state
                                                 : level.steps[done - 1].coupled;
      queue.download(state.data(), from, bytes);
    } else {
      flow.inverse(b, w, here.as<float>(), nullptr, here.as<float>(), [&](int, int step) {
        if ((step < 0 ? config.steps : step) == done)
          queue.download(state.data(), level.state, bytes);
      });
    }
    for (std::int64_t i = 0; i < n * dims; ++i)
      result.data[first * dims + i / dims * dims + at[i % dims]] = state[i];
    if (progress) progress(first + n, count);
  }
  require_finite(who, "the state", result, dims);
  return result;
}

Tensor Model::encode_steps(const Tensor& x, int steps, const Progress& progress) {
  constexpr const char* kWho = "Model::encode_steps";
  Impl& impl = this->impl(kWho);
  require_steps(kWho, impl, x, steps);
  return guarded(kWho, [&] { return impl.run_steps(kWho, x, steps, true, progress); });
}

Tensor Model::decode_steps(const Tensor& latents, int steps, const Progress& progress) {
  constexpr const char* kWho = "Model::decode_steps";
  Impl& impl = this->impl(kWho);
  require_steps(kWho, impl, latents, steps);
  return guarded(kWho, [&] { return impl.run_steps(kWho, latents, steps, false, progress); });
}

}  // namespace rheo
