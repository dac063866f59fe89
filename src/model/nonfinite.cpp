// Names the layer at which numbers leave the finite range. Only failures come here: one image goes
// through the flow once more with all between its layers kept, and that is looked through in order.

#include <cmath>
#include <cstring>

#include "src/check.h"
#include "src/model/impl.h"

namespace rheo {
namespace {

std::string text_of(double value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "+inf" : "-inf";
}

/// bf16 is the upper half of a float.
std::vector<float> widened(const std::vector<std::uint16_t>& values) {
  std::vector<float> wide(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t bits = std::uint32_t{values[i]} << 16;
    std::memcpy(&wide[i], &bits, sizeof bits);
  }
  return wide;
}

/// Looks at one thing after the other until it finds what it looks for.
class Search {
 public:
  explicit Search(const Model::Impl& model) : model_(model), weights_(model.folded()) {}

  std::string first(const FlowBuffers& b, const float* x) {
    look("x", x, model_.config.dims());
    for (int l = 0; l < model_.layout.scales(); ++l) look_at_level(b, l);
    return found_;
  }

 private:
  void look(const std::string& what, const float* values, std::int64_t count) {
    if (!found_.empty() || values == nullptr) return;
    std::vector<float> host(count);
    model_.queue.download(host.data(), values, host.size() * sizeof(float));
    judge(what, host);
  }

  void look(const std::string& what, const Columns& columns, std::int64_t pixels) {
    if (!found_.empty() || columns.data == nullptr) return;
    const std::int64_t count = pixels * columns.stride;
    if (columns.type == Dtype::f32)
      return look(what, static_cast<const float*>(columns.data), count);
    std::vector<std::uint16_t> host(count);
    model_.queue.download(host.data(), columns.data, host.size() * sizeof(std::uint16_t));
    judge(what, widened(host));
  }

  void judge(const std::string& what, const std::vector<float>& values) {
    const std::int64_t bad = first_bad(values.data(), static_cast<std::int64_t>(values.size()));
    if (bad >= 0) found_ = what + " is " + text_of(values[bad]);
  }

  void look_at_level(const FlowBuffers& b, int l) {
    const LevelLayout& layout = model_.layout.levels[l];
    const FlowBuffers::Level& level = b.levels[l];
    const std::int64_t pixels = level.grid.pixels();
    for (int k = 0; k < model_.config.steps; ++k) {
      const std::string where = place_of(model_.config, l, k) + ": ";
      const FlowBuffers::Step& step = level.steps[k];
      look_at_mix(where, model_.flow.step_index(l, k), layout.channels);
      look(where + "what its network sees", step.columns, pixels);
      look(where + "its network's output (raw log-scale)", step.raw,
           pixels * coupling_kept(model_.flow.kind(), layout.moved));
      look(where + "its coupling's log-det", model_.flow.partials_of(b, l, k).data,
           tiles_of(level.grid));
      look(where + "its coupling's output", step.coupled ? step.coupled : level.state,
           pixels * layout.channels);
    }
    const std::string prior = place_of(model_.config, l, -1) + ": ";
    look(prior + "its mean or log-deviation", level.split, pixels * layout.channels);
    look(prior + "its log p", model_.flow.partials_of(b, l, model_.config.steps).data,
         tiles_of(level.grid));
  }

  void look_at_mix(const std::string& where, int step, std::int64_t channels) {
    const MixFold& mix = model_.layout.mixes[step];
    look(where + "the matrix of its permutation and scale", weights_.folded + mix.mix,
         channels * channels);
    look(where + "the shift before its permutation", weights_.folded + mix.folded_bias, channels);
    if (!found_.empty()) return;
    double log_det = 0;
    model_.queue.download(&log_det, weights_.log_det + step, sizeof log_det);
    if (!std::isfinite(log_det))
      found_ = where + "the log-det of its permutation and scale is " + text_of(log_det);
  }

  const Model::Impl& model_;
  const Weights weights_;
  std::string found_;
};

}  // namespace

std::string place_of(const ModelConfig& config, int level, int step) {
  const bool vector = config.is_vector();
  const std::string of_level = vector ? "" : "level " + std::to_string(level) + ", ";
  if (step < 0) return of_level + (vector ? "the prior" : "its prior");
  return of_level + "step " + std::to_string(step);
}

std::string bad_tensor(const Layout& layout, const Queue& queue, const float* flat, bool last) {
  bool finite = true;
  queue.download_pieces(flat, layout.parameters, [&](const float* values, std::size_t count) {
    finite = finite && first_bad(values, static_cast<std::int64_t>(count)) < 0;
  });
  std::string found;
  if (finite) return found;
  for (const ParameterInfo& tensor : layout.tensors) {
    if (tensor.kind != ParameterInfo::Kind::trainable) continue;
    std::vector<float> values(tensor.size);
    queue.download(values.data(), flat + tensor.offset, values.size() * sizeof(float));
    const std::int64_t bad = first_bad(values.data(), tensor.size);
    if (bad < 0) continue;
    found = tensor.name + ", value " + std::to_string(bad) + " of " + std::to_string(tensor.size) +
            ", is " + text_of(values[bad]);
    if (!last) return found;
  }
  return found;
}

std::string Model::Impl::bad_parameter() const {
  return bad_tensor(layout, queue, parameters_.as<float>());
}

std::string Model::Impl::bad_layer(const float* x, const int* label) {
  if (const std::string bad = bad_parameter(); !bad.empty()) return bad;
  const DeviceBuffer room = activations(1, Keep::full);
  DeviceBuffer image(queue, config.dims() * sizeof(float), "x");
  image.upload(x, image.bytes());
  Arena arena(room.as<void>());
  const FlowBuffers b = flow.plan(arena, 1, Keep::full);
  flow.forward(b, weights(), image.as<float>(), label, nullptr);
  return Search(*this).first(b, image.as<float>());
}

}  // namespace rheo
