#include "kernels/weights.h"

#include "bench/support.h"
#include "src/model/layout.h"

namespace rheo::bench {
namespace {

/// One step on each level; a model has some 32 of them. Six levels of 256x256 pixels end in 384
/// channels.
Layout layout_of(int levels, int hidden) {
  ModelConfig config;
  config.height = config.width = 4 << levels;
  config.channels = 3;
  config.levels = levels;
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

void prepare(benchmark::State& state, const Backend& backend, int levels, int hidden) {
  const Layout layout = layout_of(levels, hidden);
  Memory memory(backend);
  const WeightsArgs args = arguments(memory, layout);
  measure_bytes(state, backend, 4 * layout.parameters + layout.packed_bytes,
                [&] { backend.weights_prepare(args, nullptr); });
}

void prepare_backward(benchmark::State& state, const Backend& backend, int levels, int hidden) {
  const Layout layout = layout_of(levels, hidden);
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

void add_shape(On on, int levels, int hidden) {
  const std::string shape = "steps:" + std::to_string(levels) + "/hidden:" + std::to_string(hidden);
  add(on, "weights_prepare", shape,
      [=](auto& state, const Backend& backend) { prepare(state, backend, levels, hidden); });
  add(on, "weights_prepare_backward", shape, [=](auto& state, const Backend& backend) {
    prepare_backward(state, backend, levels, hidden);
  });
}

const bool registered = [] {
  for (int hidden : kHidden) add_shape(On::all, 3, hidden);
  add_shape(On::widest, 6, 512);
  return true;
}();

}  // namespace
}  // namespace rheo::bench
