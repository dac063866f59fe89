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
  const std::int64_t count = values.shape[0], dims = config.dims(), batch = batch_of(count);
  const int done = forward ? steps : config.steps - steps;  // between the data and the state
  const DeviceScope scope(compute.device);
  const std::vector<int> at = data_coordinates(*this, done);
  Tensor result{values.shape, std::vector<float>(values.data.size())};
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t n = std::min(batch, count - first);
    std::vector<float> state(values.data.begin() + first * dims,
                             values.data.begin() + (first + n) * dims);
    if (forward)
      forward_to(done, n, state);
    else
      inverse_to(done, n, state);
    const std::int64_t bad = first_bad(state.data(), n * dims);
    if (bad >= 0 && !forward) name_bad_layer(who, first, n, nullptr);
    if (bad >= 0)
      fail(Errc::diverged, who, ": vector ", first + bad / dims, " is not finite after ", steps,
           " of ", config.steps, " steps",
           where_bad(values.data.data() + first * dims + bad / dims * dims, nullptr),
           "; the model's weights do not carry it");
    for (std::int64_t i = 0; i < n * dims; ++i)
      result.data[first * dims + i / dims * dims + at[i % dims]] = state[i];
    if (progress) progress(first + n, count);
  }
  return result;
}

void Model::Impl::forward_to(int done, std::int64_t count, std::vector<float>& state) {
  if (done == 0) return;
  const std::size_t bytes = state.size() * sizeof(float);
  FlowBuffers b = room_for(count);
  x_.upload(state.data(), bytes);
  FlowBuffers::Level& level = b.levels[0];
  // Coupling and the next permutation are one operation, which leaves what is between them only
  // where it is asked to: here in the room of x, which is free once x has entered.
  const bool last = done == config.steps;
  if (!last) level.steps[done - 1].coupled = batch_x();
  flow.forward(b, weights(), batch_x(), nullptr, nullptr);
  queue.download(state.data(), last ? level.state : batch_x(), bytes);
}

void Model::Impl::inverse_to(int done, std::int64_t count, std::vector<float>& state) {
  const std::size_t bytes = state.size() * sizeof(float);
  const FlowBuffers& b = room_for(count);
  latents_.upload(state.data(), bytes);
  flow.inverse(b, weights(), batch_eps(), nullptr, batch_x(), [&](int, int step) {
    if ((step < 0 ? config.steps : step) == done)
      queue.download(state.data(), b.levels[0].state, bytes);
  });
}

Tensor Model::encode_steps(const Tensor& x, int steps, const Progress& progress) {
  constexpr const char* kWho = "Model::encode_steps";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    require_steps(kWho, impl, x, steps);
    return impl.run_steps(kWho, x, steps, true, progress);
  });
}

Tensor Model::decode_steps(const Tensor& latents, int steps, const Progress& progress) {
  constexpr const char* kWho = "Model::decode_steps";
  return guarded(kWho, [&] {
    Impl& impl = this->impl(kWho);
    require_steps(kWho, impl, latents, steps);
    return impl.run_steps(kWho, latents, steps, false, progress);
  });
}

}  // namespace rheo
