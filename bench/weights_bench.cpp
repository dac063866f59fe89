#include "kernels/weights.h"

#include <numeric>

#include "bench/support.h"
#include "src/model/layout.h"

namespace rheo::bench {
namespace {

/// One step on each of the three levels; a model has some 32 of them.
Layout layout_of(int hidden) {
  ModelConfig config;
  config.height = config.width = 32;
  config.channels = 3;
  config.levels = 3;
  config.steps = 1;
  config.hidden = hidden;
  return Layout(config, Dtype::f32);
}

WeightsArgs arguments(Memory& memory, const Layout& layout) {
  std::vector<int> permutations;
  for (const MixFold& mix : layout.mixes)
    for (int i = 0; i < mix.channels; ++i) permutations.push_back(i);
  return {.mixes = memory.put(layout.mixes),
          .products = memory.put(layout.products),
          .mix_count = static_cast<int>(layout.mixes.size()),
          .product_count = static_cast<int>(layout.products.size()),
          .parameters = memory.floats(layout.parameters),
          .signs = memory.put(std::vector<float>(static_cast<std::size_t>(layout.signs), 1.f)),
          .permutations = memory.put(permutations),
          .folded = memory.floats(layout.folded),
          .packed = memory.floats(layout.packed_bytes / 4),
          .log_det = memory.put(std::vector<double>(layout.mixes.size())),
          .workspace = memory.put(std::vector<double>(static_cast<std::size_t>(layout.workspace)))};
}

void prepare(benchmark::State& state, const Backend& backend, int hidden) {
  const Layout layout = layout_of(hidden);
  Memory memory(backend);
  const WeightsArgs args = arguments(memory, layout);
  measure_bytes(state, backend, 4 * layout.parameters + layout.packed_bytes,
                [&] { backend.weights_prepare(args, nullptr); });
}

void prepare_backward(benchmark::State& state, const Backend& backend, int hidden) {
  const Layout layout = layout_of(hidden);
  Memory memory(backend);
  const WeightsBackwardArgs args = {.forward = arguments(memory, layout),
                                    .dfolded = memory.floats(layout.folded),
                                    .dpacked = memory.floats(layout.dpacked),
                                    .dlog_det = -1,
                                    .dparameters = memory.floats(layout.parameters)};
  // Reads parameters and the gradients of the matrices, writes those of the parameters.
  measure_bytes(state, backend, 4 * (2 * layout.parameters + layout.dpacked),
                [&] { backend.weights_prepare_backward(args, nullptr); });
}

const bool registered = [] {
  for (int hidden : kHidden) {
    const std::string shape = "steps:3/hidden:" + std::to_string(hidden);
    add(On::all, "weights_prepare", shape,
        [=](auto& state, const Backend& backend) { prepare(state, backend, hidden); });
    add(On::all, "weights_prepare_backward", shape,
        [=](auto& state, const Backend& backend) { prepare_backward(state, backend, hidden); });
  }
  return true;
}();

}  // namespace
}  // namespace rheo::bench
