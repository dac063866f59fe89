#include "kernels/prior.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// The prior of a split: parameters for each pixel, z the second half of the state.
PriorArgs arguments(Memory& memory, const Level& level) {
  const int half = level.channels / 2, tiles = tiles_of(level.grid());
  const float* parameters = memory.floats(level.values());
  return {.grid = level.grid(),
          .channels = half,
          .z = memory.floats(level.values()) + half,
          .z_stride = level.channels,
          .mean = parameters,
          .log_sd = parameters + half,
          .parameter_stride = level.channels,
          .by_label = false,
          .labels = nullptr,
          .bounded = false,
          .eps = memory.floats(level.values() / 2),
          .eps_stride = level.grid().image_pixels() * half,
          .log_prob = {memory.floats(level.count * tiles), tiles}};
}

void noise(benchmark::State& state, const Backend& backend, const Level& level) {
  Memory memory(backend);
  const NoiseArgs args = {.eps = memory.floats(level.values() / 2),
                          .count = level.count,
                          .dims = level.values() / 2 / level.count,
                          .first = 0,
                          .seed = 1,
                          .temperature = 0.7f};
  measure_bytes(state, backend, 2 * level.values(), [&] { backend.prior_noise(args, nullptr); });
}

/// Three of z, mean, log_sd and eps are read and one is written.
void log_prob(benchmark::State& state, const Backend& backend, const Level& level) {
  Memory memory(backend);
  const PriorArgs args = arguments(memory, level);
  measure_bytes(state, backend, 8 * level.values(), [&] { backend.prior_log_prob(args, nullptr); });
}

void sample(benchmark::State& state, const Backend& backend, const Level& level) {
  Memory memory(backend);
  const PriorArgs args = arguments(memory, level);
  measure_bytes(state, backend, 8 * level.values(), [&] { backend.prior_sample(args, nullptr); });
}

void backward(benchmark::State& state, const Backend& backend, const Level& level) {
  Memory memory(backend);
  const PriorArgs forward = arguments(memory, level);
  float* rows = memory.floats(level.values());
  const PriorBackwardArgs args = {.forward = forward,
                                  .dlog_prob = memory.floats(level.count),
                                  .dz = memory.floats(level.values()),
                                  .dmean = rows,
                                  .dlog_sd = rows + level.channels / 2};
  measure_bytes(state, backend, 12 * level.values(),
                [&] { backend.prior_backward(args, nullptr); });
}

constexpr struct {
  const char* op;
  void (*row)(benchmark::State&, const Backend&, const Level&);
} kRows[] = {{"prior_noise", noise},
             {"prior_log_prob", log_prob},
             {"prior_sample", sample},
             {"prior_backward", backward}};

const bool registered = [] {
  for (const Level& level : kLevels)
    for (const auto& [op, row] : kRows)
      add(level.on(), op, level.name(),
          [=, row = row](auto& state, const Backend& backend) { row(state, backend, level); });
  return true;
}();

}  // namespace
}  // namespace rheo::bench
