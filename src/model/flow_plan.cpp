// Where the values of one batch lie, for each way to keep what backward needs.

#include <algorithm>

#include "src/model/flow.h"

namespace rheo {
namespace {

Columns without_room(const LevelLayout& level, Dtype type, bool edge) {
  return {nullptr, type, level.taps, level.seen, level.columns_stride, edge};
}

/// The largest of each over all levels.
struct Extents {
  std::int64_t pixels = 0, raw = 0, columns = 0, split_columns = 0, taps = 0, sums = 0;
};

}  // namespace

std::int64_t Flow::rows_at_once() const {
  constexpr std::int64_t kUnit = 256;  // whole tiles of the products
  const auto row = static_cast<std::int64_t>(config_.hidden) * size_of(network_);
  const auto bytes = static_cast<std::int64_t>(backend_.network_bytes);
  return std::max(kUnit, bytes / row / kUnit * kUnit);
}

bool Flow::keeps_h1() const {
  constexpr std::int64_t kLittle = 8;  // a part in so many of what the whole network computes
  std::int64_t first = 0, all = 0;
  for (const LevelLayout& level : layout_.levels) {
    const std::int64_t pixels = std::int64_t{level.height} * level.width;
    first += pixels * level.columns_stride;
    all +=
        pixels * (level.columns_stride + config_.hidden + taps_stride(level.taps, outputs(level)));
  }
  return first * kLittle > all;
}

Hidden Flow::plan_hidden(Arena& arena, std::int64_t rows, bool h1, bool h2, bool masks) const {
  Hidden hidden{};
  for (int i = 0; i < 2; ++i) {
    if (!(i == 0 ? h1 : h2)) continue;
    hidden.h[i] = arena.take_bytes(rows * config_.hidden * size_of(network_));
    if (masks && backend_.relu_masks)
      hidden.mask[i] = arena.take_bytes(relu_mask_bytes(rows, config_.hidden));
  }
  return hidden;
}

FlowBuffers::Step Flow::plan_step(Arena& arena, const LevelLayout& level, const FlowBuffers& b,
                                  const FlowBuffers::Step& shared, bool last) const {
  const Grid grid = {b.count, level.height, level.width};
  const std::int64_t pixels = grid.pixels(), raw = pixels * coupling_kept(kind(), level.moved);
  const bool states = b.keep == Keep::full || b.keep == Keep::state;
  FlowBuffers::Step step = shared;
  void* columns = step.columns.data;
  if (b.keep == Keep::full) {
    columns = arena.take_bytes(pixels * level.columns_stride * size_of(network_));
    step.hidden = plan_hidden(arena, pixels, keeps_h1(), true, true);
  }
  step.columns = without_room(level, network_, config_.edge_bias);
  step.columns.data = columns;
  if (states && raw > 0) step.raw = arena.take<float>(raw);
  // The last coupling leaves its result in the level's state, where nothing overwrites it.
  if (states && !last) step.coupled = arena.take<float>(pixels * level.channels);
  if (b.keep == Keep::invert && network_ == Dtype::bf16)
    step.kept = arena.take_bytes(pixels * level.seen * size_of(Dtype::bf16));
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
  if (config_.is_autoregressive()) buffers.turn = arena.take<float>(size);
  for (int k = 0; k < config_.steps; ++k)
    buffers.steps.push_back(plan_step(arena, level, b, shared, k + 1 == config_.steps));
  buffers.split_columns = without_room(level, Dtype::f32, config_.edge_bias);
  if (level.has_split && layout_.has_learned_splits()) {
    buffers.split_columns.data = b.dcolumns;
    buffers.split = arena.take<float>(size);
    if (backward) buffers.dsplit = arena.take<float>(size);
  }
  return buffers;
}

/// What one step's network works on at a time, and its gradient.
FlowBuffers::Scratch Flow::plan_scratch(Arena& arena, const FlowBuffers& b, std::int64_t rows,
                                        std::int64_t taps) const {
  FlowBuffers::Scratch scratch{};
  scratch.taps = arena.take<float>(taps);
  const bool backward = b.keep != Keep::nothing;
  const bool h1 = b.keep != Keep::full || !keeps_h1();
  const bool h2 = b.keep == Keep::nothing || b.keep == Keep::state;
  scratch.hidden = plan_hidden(arena, rows, h1, h2, backward);
  if (!backward) return scratch;
  scratch.dh1 = arena.take_bytes(rows * config_.hidden * size_of(network_));
  scratch.dh2 = arena.take_bytes(rows * config_.hidden * size_of(network_));
  return scratch;
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
    most.raw = std::max(most.raw, pixels * coupling_kept(kind(), level.moved));
    most.columns = std::max(most.columns, pixels * level.columns_stride);
    if (level.has_split && layout_.has_learned_splits())
      most.split_columns = std::max(most.split_columns, pixels * level.columns_stride);
    most.taps = std::max(most.taps, pixels * taps_stride(level.taps, outputs(level)));
    most.sums =
        std::max(most.sums, step_backward_workspace(grid, kind(), level.channels, level.moved,
                                                    level.taps, learns_mixes()));
    b.partials_used += tiles_of(grid) * (config_.steps + 1);
  }
  b.dcolumns = arena.take<float>(keep == Keep::nothing ? most.split_columns : most.columns);
  FlowBuffers::Step shared{};
  if (keep != Keep::full) shared.columns.data = arena.take_bytes(most.columns * size_of(network_));
  if (keep == Keep::invert) shared.hidden = plan_hidden(arena, most.pixels, false, true, true);
  if (keep == Keep::invert && most.raw > 0) shared.raw = arena.take<float>(most.raw);
  for (int l = 0; l < layout_.scales(); ++l) b.levels.push_back(plan_level(arena, l, b, shared));
  const std::int64_t rows = std::min(most.pixels, rows_at_once());
  for (int i = 0; i < Queue::kSides; ++i)
    b.scratch[i] = i == 0 || b.overlap ? plan_scratch(arena, b, rows, most.taps) : b.scratch[0];
  b.partials = {arena.take<float>(count * b.partials_used), b.partials_used};
  b.log_prob = arena.take<double>(count);
  if (keep == Keep::nothing) return b;
  b.sums = arena.take<float>(most.sums);
  return b;
}

}  // namespace rheo
