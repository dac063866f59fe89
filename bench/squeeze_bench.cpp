#include "kernels/squeeze.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// Past the first level the large side is half of a wider state.
void squeeze(benchmark::State& state, const Backend& backend, const Level& level, bool forward) {
  Memory memory(backend);
  const int channels = level.channels / 4, stride = level.channels > 12 ? 2 * channels : channels;
  float* large = memory.floats(4 * level.pixels() * stride);
  float* small = memory.floats(level.values());
  const SqueezeArgs args = {.grid = level.grid(),
                            .channels = channels,
                            .stride = stride,
                            .from = forward ? large : small,
                            .to = forward ? small : large};
  const auto op = forward ? backend.squeeze_forward : backend.squeeze_inverse;
  measure_bytes(state, backend, 8 * level.values(), [&] { op(args, nullptr); });
}

const bool registered = [] {
  for (const Level& level : kLevels)
    for (bool forward : {true, false})
      add(level.on(), forward ? "squeeze_forward" : "squeeze_inverse", level.name(),
          [=](auto& state, const Backend& backend) { squeeze(state, backend, level, forward); });
  return true;
}();

}  // namespace
}  // namespace rheo::bench
