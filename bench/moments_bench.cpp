#include "kernels/moments.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// Of a level's hidden values, which are read twice.
void moments(benchmark::State& state, const Backend& backend, const Level& level, int hidden) {
  Memory memory(backend);
  const std::vector<double> zero(static_cast<std::size_t>(hidden));
  const MomentsArgs args = {.x = memory.floats(level.pixels() * hidden),
                            .rows = level.pixels(),
                            .channels = hidden,
                            .stride = hidden,
                            .mean = memory.put(zero),
                            .deviation = memory.put(zero)};
  measure_bytes(state, backend, 8 * level.pixels() * hidden,
                [&] { backend.moments_of_channels(args, nullptr); });
}

const bool registered = [] {
  for (const Level& level : kLevels)
    for (int hidden : kHidden)
      add(level.on(), "moments_of_channels",
          "rows:" + std::to_string(level.pixels()) + "/C:" + std::to_string(hidden),
          [=](auto& state, const Backend& backend) { moments(state, backend, level, hidden); });
  return true;
}();

}  // namespace
}  // namespace rheo::bench
