#include "kernels/step.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

constexpr int kTaps = 9;

Columns columns_of(Memory& memory, const Level& level, Dtype type) {
  const int half = level.channels / 2, stride = columns_stride(kTaps, half, false);
  return {memory.values(type, level.pixels() * stride), type, kTaps, half, stride, false};
}

std::int64_t mix_bytes(const Level& level) {
  return std::int64_t{4} * level.channels * level.channels;
}

StepArgs arguments(Memory& memory, const Level& level, Dtype type) {
  const int tiles = tiles_of(level.grid()), n = level.channels, stride = taps_stride(kTaps, n);
  return {
      .grid = level.grid(),
      .channels = n,
      .from = memory.floats(level.values()),
      .to = memory.floats(level.values()),
      .passed = n / 2,
      .taps = {memory.floats(level.pixels() * stride), kTaps, stride, memory.floats(n), nullptr},
      .kind = CouplingKind::sigmoid2,
      .gain = nullptr,
      .log_det = {memory.floats(level.count * tiles), tiles},
      .raw = nullptr,
      .coupled = nullptr,
      .mix = memory.floats(std::int64_t{n} * n),
      .bias = memory.floats(n),
      .columns = columns_of(memory, level, type),
      .kept = nullptr,
      .again = nullptr};
}

/// As training runs it: with all that backward needs.
void forward(benchmark::State& state, const Backend& backend, const Level& level, Dtype type) {
  Memory memory(backend);
  StepArgs args = arguments(memory, level, type);
  args.raw = memory.floats(level.values() / 2);
  args.coupled = memory.floats(level.values());
  // From, taps and mix in; to, coupled, raw and columns out.
  measure_bytes(state, backend,
                level.values() * (4 + 4 * kTaps + 4 + 4 + 2) + mix_bytes(level) +
                    level.pixels() * args.columns.stride * size_of(type),
                [&] { backend.step_forward(args, nullptr); });
}

void inverse(benchmark::State& state, const Backend& backend, const Level& level, Dtype type) {
  Memory memory(backend);
  const StepArgs args = arguments(memory, level, type);
  measure_bytes(state, backend,
                level.values() * (4 + 4 * kTaps + 4) + mix_bytes(level) +
                    level.pixels() * args.columns.stride * size_of(type),
                [&] { backend.step_inverse(args, nullptr); });
}

void backward(benchmark::State& state, const Backend& backend, const Level& level, Dtype type) {
  Memory memory(backend);
  const int n = level.channels;
  const StepBackwardArgs args = {
      .grid = level.grid(),
      .channels = n,
      .dy = memory.floats(level.values()),
      .dcolumns = columns_of(memory, level, Dtype::f32),
      .mix = memory.floats(std::int64_t{n} * n),
      .bias = memory.floats(n),
      .coupled = memory.floats(level.values()),
      .dmix = memory.floats(std::int64_t{n} * n),
      .dsum = memory.floats(n),
      .taps = kTaps,
      .passed = n / 2,
      .kind = CouplingKind::sigmoid2,
      .gain = nullptr,
      .raw = memory.floats(level.values() / 2),
      .dlog_det = memory.floats(level.count),
      .dtaps = memory.values(type, level.pixels() * taps_stride(kTaps, n)),
      .dtaps_type = type,
      .dtaps_stride = taps_stride(kTaps, n),
      .dtap_bias = memory.floats(n),
      .dtap_edge = nullptr,
      .dgain = nullptr,
      .dx = memory.floats(level.values()),
      .workspace = memory.floats(
          step_backward_workspace(level.grid(), CouplingKind::sigmoid2, n, n / 2, kTaps))};
  // dy, coupled, raw, column gradients and mix in; dx and tap gradients out; mix's added to.
  measure_bytes(state, backend,
                level.values() * (4 + 4 + 2 + 4 + kTaps * size_of(type)) + 3 * mix_bytes(level) +
                    level.pixels() * args.dcolumns.stride * 4,
                [&] { backend.step_backward(args, nullptr); });
}

constexpr struct {
  const char* op;
  void (*row)(benchmark::State&, const Backend&, const Level&, Dtype);
} kRows[] = {{"step_forward", forward}, {"step_inverse", inverse}, {"step_backward", backward}};

const bool registered = [] {
  for (const Level& level : kLevels)
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      const std::string shape = level.name() + (type == Dtype::f32 ? "/f32" : "/bf16");
      for (const auto& [op, row] : kRows)
        add(level.on(), op, shape, [=, row = row](auto& state, const Backend& backend) {
          row(state, backend, level, type);
        });
    }
  return true;
}();

}  // namespace
}  // namespace rheo::bench
