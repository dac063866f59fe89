// Where the values of one batch lie, for each way to keep what backward needs.

#include <algorithm>

#include "src/model/flow.h"

namespace rheo {
namespace {

Columns without_room(const LevelLayout& level, Dtype type, bool edge) {
  return {nullptr, type, 9, level.channels / 2, level.columns_stride, edge};
}

/// The largest of each over all levels.
struct Extents {
  std::int64_t pixels = 0, halves = 0, columns = 0, taps = 0, sums = 0;
};

}  // namespace

/// What the network works on: a step's own where it is kept, else one for all steps and levels.
FlowBuffers::Step Flow::plan_hidden(Arena& arena, std::int64_t pixels, std::int64_t columns,
                                    bool masks) const {
  FlowBuffers::Step step{};
  step.columns.data = arena.take_bytes(columns * size_of(network_));
  step.h1 = arena.take_bytes(pixels * config_.hidden * size_of(network_));
  step.h2 = arena.take_bytes(pixels * config_.hidden * size_of(network_));
  if (masks && backend_.relu_masks) {
    step.mask1 = arena.take_bytes(relu_mask_bytes(pixels, config_.hidden));
    step.mask2 = arena.take_bytes(relu_mask_bytes(pixels, config_.hidden));
  }
  return step;
}

FlowBuffers::Step Flow::plan_step(Arena& arena, const LevelLayout& level, const FlowBuffers& b,
                                  const FlowBuffers::Step& shared, bool last) const {
  const Grid grid = {b.count, level.height, level.width};
  const std::int64_t pixels = grid.pixels(), half = pixels * level.channels / 2;
  const bool states = b.keep == Keep::full || b.keep == Keep::state;
  FlowBuffers::Step step = shared;
  if (b.keep == Keep::full) step = plan_hidden(arena, pixels, pixels * level.columns_stride, true);
  void* columns = step.columns.data;
  step.columns = without_room(level, network_, config_.edge_bias);
  step.columns.data = columns;
  if (states && kind() != CouplingKind::additive) step.raw = arena.take<float>(half);
  // The last coupling leaves its result in the level's state, where nothing overwrites it.
  if (states && !last) step.coupled = arena.take<float>(2 * half);
  if (b.keep == Keep::invert && network_ == Dtype::bf16)
    step.kept = arena.take_bytes(half * size_of(Dtype::bf16));
  return step;
}

FlowBuffers::Level Flow::plan_level(Arena& arena, int l, const FlowBuffers& b,
                                    const FlowBuffers::Step& shared) const {
  const LevelLayout& level = layout_.levels[l];
  FlowBuffers::Level buffers{};
  buffers.grid = {b.count, level.height, level.width};
  const std::int64_t pixels = buffers.grid.pixels(), size = pixels * level.channels;
  const bool backward = b.keep != Keep::nothing;
  buffers.entry = arena.take<float>(size);
  buffers.state = backward ? arena.take<float>(size) : buffers.entry;
  if (backward) buffers.dstate = arena.take<float>(size);
  for (int k = 0; k < config_.steps; ++k)
    buffers.steps.push_back(plan_step(arena, level, b, shared, k + 1 == config_.steps));
  buffers.split_columns = without_room(level, Dtype::f32, config_.edge_bias);
  if (level.has_split) {
    buffers.split_columns.data = arena.take<float>(pixels * level.columns_stride);
    buffers.split = arena.take<float>(size);
    if (backward) buffers.dsplit = arena.take<float>(size);
  }
  return buffers;
}

/// Scratch of the gradients. Hidden activations that are not kept are spent when that of conv1's
/// output is made, which then takes the place of h2.
void Flow::plan_scratch(Arena& arena, FlowBuffers& b, std::int64_t pixels, std::int64_t taps,
                        const FlowBuffers::Step& shared) const {
  const std::int64_t hidden = pixels * config_.hidden * size_of(network_);
  b.scratch[0].dh2 = arena.take_bytes(hidden);
  b.scratch[0].dh1 = b.keep == Keep::full ? arena.take_bytes(hidden) : shared.h2;
  for (int i = 1; i < Queue::kSides; ++i) {
    b.scratch[i] = b.scratch[0];
    if (!b.overlap) continue;
    b.scratch[i] = {arena.take<float>(taps), arena.take_bytes(hidden), arena.take_bytes(hidden)};
  }
}

FlowBuffers Flow::plan(Arena& arena, std::int64_t count, Keep keep) const {
  Extents most;
  FlowBuffers b{};
  b.count = count, b.keep = keep;
  b.overlap = keep == Keep::full && queue_.side(0) != nullptr;
  for (const LevelLayout& level : layout_.levels) {
    const Grid grid = {count, level.height, level.width};
    const std::int64_t pixels = grid.pixels();
    most.pixels = std::max(most.pixels, pixels);
    most.halves = std::max(most.halves, pixels * level.channels / 2);
    most.columns = std::max(most.columns, pixels * level.columns_stride);
    most.taps = std::max(most.taps, pixels * 9 * outputs(level.channels));
    most.sums = std::max(most.sums, step_backward_workspace(grid, level.channels, 9));
    b.partials_used += tiles_of(grid) * (config_.steps + 1);
  }
  FlowBuffers::Step shared{};
  if (keep != Keep::full)
    shared = plan_hidden(arena, most.pixels, most.columns, keep != Keep::nothing);
  if (keep == Keep::invert && kind() != CouplingKind::additive)
    shared.raw = arena.take<float>(most.halves);
  for (int l = 0; l < config_.levels; ++l) b.levels.push_back(plan_level(arena, l, b, shared));
  b.scratch[0].taps = arena.take<float>(most.taps);
  b.partials = {arena.take<float>(count * b.partials_used), b.partials_used};
  b.log_prob = arena.take<double>(count);
  if (keep == Keep::nothing) return b;
  plan_scratch(arena, b, most.pixels, most.taps, shared);
  b.dcolumns = arena.take<float>(most.columns);
  b.sums = arena.take<float>(most.sums);
  return b;
}

}  // namespace rheo
