#include "src/model/flow.h"

#include <algorithm>

namespace rheo {
namespace {

/// Offset of a level's latents in an image's: all outer levels' left before it.
std::int64_t latent_offset(const Layout& layout, int level) {
  std::int64_t offset = 0;
  for (int l = 0; l < level; ++l) {
    const LevelLayout& outer = layout.levels[l];
    offset += std::int64_t{outer.height} * outer.width * (outer.channels / 2);
  }
  return offset;
}

Columns without_room(const LevelLayout& level, Dtype type, bool edge) {
  return {nullptr, type, 9, level.channels / 2, level.columns_stride, edge};
}

}  // namespace

CouplingKind Flow::kind() const {
  if (config_.coupling == Coupling::additive) return CouplingKind::additive;
  return config_.scale == Scale::sigmoid2 ? CouplingKind::sigmoid2 : CouplingKind::bounded;
}

FlowBuffers::Step Flow::plan_step(Arena& arena, const LevelLayout& level, const Grid& grid,
                                  bool keep) const {
  const std::int64_t pixels = grid.pixels();
  FlowBuffers::Step step{};
  step.columns = without_room(level, network_, config_.edge_bias);
  step.columns.data = arena.take_bytes(pixels * level.columns_stride * size_of(network_));
  step.h1 = arena.take_bytes(pixels * config_.hidden * size_of(network_));
  step.h2 = arena.take_bytes(pixels * config_.hidden * size_of(network_));
  if (keep && kind() != CouplingKind::additive)
    step.raw = arena.take<float>(pixels * level.channels / 2);
  return step;
}

FlowBuffers::Level Flow::plan_level(Arena& arena, int l, FlowBuffers& b) const {
  const LevelLayout& level = layout_.levels[l];
  FlowBuffers::Level buffers{};
  buffers.grid = {b.count, level.height, level.width};
  const std::int64_t pixels = buffers.grid.pixels(), size = pixels * level.channels;
  buffers.entry = arena.take<float>(size);
  buffers.state = b.backward ? arena.take<float>(size) : buffers.entry;
  if (b.backward) buffers.dstate = arena.take<float>(size);
  for (int k = 0; k < config_.steps; ++k) {
    if (k == 0 || b.backward)
      buffers.steps.push_back(plan_step(arena, level, buffers.grid, b.backward));
    else
      buffers.steps.push_back(buffers.steps[0]);
    if (!b.backward) continue;
    // The last coupling leaves its result in the level's state, where nothing overwrites it.
    buffers.steps[k].coupled = k + 1 < config_.steps ? arena.take<float>(size) : nullptr;
  }
  buffers.split_columns = without_room(level, Dtype::f32, config_.edge_bias);
  if (level.has_split) {
    buffers.split_columns.data = arena.take<float>(pixels * level.columns_stride);
    buffers.split = arena.take<float>(size);
    if (b.backward) buffers.dsplit = arena.take<float>(size);
  }
  return buffers;
}

FlowBuffers Flow::plan(Arena& arena, std::int64_t count, bool backward) const {
  FlowBuffers b{};
  b.count = count, b.backward = backward;
  std::int64_t taps = 0, hidden = 0, columns = 0, sums = 0;
  for (int l = 0; l < config_.levels; ++l) {
    const LevelLayout& level = layout_.levels[l];
    b.levels.push_back(plan_level(arena, l, b));
    const Grid& grid = b.levels[l].grid;
    taps = std::max(taps, grid.pixels() * 9 * outputs(level.channels));
    hidden = std::max(hidden, grid.pixels() * config_.hidden);
    columns = std::max(columns, grid.pixels() * level.columns_stride);
    sums = std::max(sums, step_backward_workspace(grid, level.channels, 9));
    b.partials_used += tiles_of(grid) * (config_.steps + 1);
  }
  b.taps = arena.take<float>(taps);
  b.partials = {arena.take<float>(count * b.partials_used), b.partials_used};
  b.log_prob = arena.take<double>(count);
  if (!backward) return b;
  b.dh1 = arena.take_bytes(hidden * size_of(network_));
  b.dh2 = arena.take_bytes(hidden * size_of(network_));
  b.dcolumns = arena.take<float>(columns);
  b.sums = arena.take<float>(sums);
  return b;
}

SqueezeArgs Flow::squeeze_of(const FlowBuffers& b, int l, const float* from, float* to) const {
  const int stride = l == 0 ? config_.channels : layout_.levels[l - 1].channels;
  return {b.levels[l].grid, layout_.levels[l].channels / 4, stride, from, to};
}

Partials Flow::partials_of(const FlowBuffers& b, int level, int step) const {
  int at = 0;
  for (int l = 0; l < level; ++l) at += tiles_of(b.levels[l].grid) * (config_.steps + 1);
  return {b.partials.data + at + tiles_of(b.levels[level].grid) * step, b.partials.stride};
}

Taps Flow::taps_of(const FlowBuffers& b, const Weights& w, int level, int step) const {
  const ProductFold& conv3 = layout_.conv(step_index(level, step), 2);
  return {b.taps, 9, w.folded + conv3.folded_bias,
          conv3.edge < 0 ? nullptr : w.folded + conv3.folded_edge};
}

PriorArgs Flow::top_of(const FlowBuffers& b, const Weights& w, const int* labels,
                       float* eps) const {
  const int l = config_.levels - 1, channels = layout_.levels[l].channels;
  return {.grid = b.levels[l].grid,
          .channels = channels,
          .z = b.levels[l].state,
          .z_stride = channels,
          .mean = w.parameters + layout_.prior_mean,
          .log_sd = w.parameters + layout_.prior_log_sd,
          .parameter_stride = channels,
          .by_label = true,
          .labels = labels,
          .bounded = config_.scale == Scale::bounded,
          .eps = eps ? eps + latent_offset(layout_, l) : nullptr,
          .eps_stride = config_.dims(),
          .log_prob = partials_of(b, l, config_.steps)};
}

PriorArgs Flow::split_of(const FlowBuffers& b, int l, float* eps) const {
  const int channels = layout_.levels[l].channels, half = channels / 2;
  return {.grid = b.levels[l].grid,
          .channels = half,
          .z = b.levels[l].state + half,
          .z_stride = channels,
          .mean = b.levels[l].split,
          .log_sd = b.levels[l].split + half,
          .parameter_stride = channels,
          .by_label = false,
          .labels = nullptr,
          .bounded = config_.scale == Scale::bounded,
          .eps = eps ? eps + latent_offset(layout_, l) : nullptr,
          .eps_stride = config_.dims(),
          .log_prob = partials_of(b, l, config_.steps)};
}

void Flow::split_parameters(const FlowBuffers& b, const Weights& w, int l) const {
  const ProductFold& split = layout_.split(l);
  const FlowBuffers::Level& level = b.levels[l];
  backend_.linear_forward({.rows = level.grid.pixels(),
                           .in = split.stride,
                           .out = split.out,
                           .type = Dtype::f32,
                           .x = level.split_columns.data,
                           .weight = static_cast<const char*>(w.packed) + split.matrix,
                           .bias = nullptr,
                           .relu = false,
                           .y_type = Dtype::f32,
                           .y = level.split},
                          nullptr);
}

void Flow::network(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Step& step = b.levels[l].steps[k];
  const int s = step_index(l, k);
  const void* x[] = {step.columns.data, step.h1, step.h2};
  void* y[] = {step.h1, step.h2, b.taps};
  for (int i = 0; i < 3; ++i) {
    const ProductFold& conv = layout_.conv(s, i);
    const bool last = i == 2;
    backend_.linear_forward({.rows = b.levels[l].grid.pixels(),
                             .in = conv.stride,
                             .out = last ? conv.taps * conv.out : conv.out,
                             .type = network_,
                             .x = x[i],
                             .weight = static_cast<const char*>(w.packed) + conv.matrix,
                             .bias = i == 1 ? w.folded + conv.folded_bias : nullptr,
                             .relu = !last,
                             .y_type = last ? Dtype::f32 : network_,
                             .y = y[i]},
                            nullptr);
  }
}

void Flow::forward_level(const FlowBuffers& b, const Weights& w, int l, float* eps) const {
  const LevelLayout& level = layout_.levels[l];
  const FlowBuffers::Level& buffers = b.levels[l];
  for (int k = -1; k < config_.steps; ++k) {  // coupling k and mix k + 1
    StepArgs step{};
    step.grid = buffers.grid, step.channels = level.channels;
    step.from = k < 0 ? buffers.entry : buffers.state;
    step.to = buffers.state;
    step.columns = buffers.split_columns;
    if (k >= 0) {
      network(b, w, l, k);
      step.taps = taps_of(b, w, l, k), step.kind = kind();
      step.log_det = partials_of(b, l, k);
      step.raw = buffers.steps[k].raw, step.coupled = buffers.steps[k].coupled;
    }
    if (k + 1 < config_.steps) {
      const MixFold& mix = layout_.mixes[step_index(l, k + 1)];
      step.mix = w.folded + mix.mix, step.bias = w.parameters + mix.bias;
      step.columns = buffers.steps[k + 1].columns;
    }
    backend_.step_forward(step, nullptr);
  }
  if (!level.has_split) return;
  split_parameters(b, w, l);
  backend_.prior_log_prob(split_of(b, l, eps), nullptr);
}

void Flow::forward(const FlowBuffers& b, const Weights& w, const float* x, const int* labels,
                   float* eps) const {
  for (int l = 0; l < config_.levels; ++l) {
    const float* from = l == 0 ? x : b.levels[l - 1].state;
    backend_.squeeze_forward(squeeze_of(b, l, from, b.levels[l].entry), nullptr);
    forward_level(b, w, l, eps);
  }
  top_log_prob(b, w, labels, eps);
}

void Flow::top_log_prob(const FlowBuffers& b, const Weights& w, const int* labels,
                        float* eps) const {
  backend_.prior_log_prob(top_of(b, w, labels, eps), nullptr);
  backend_.log_det_sum({.partials = b.partials,
                        .count = b.count,
                        .used = b.partials_used,
                        .constants = w.log_det,
                        .constant_count = static_cast<int>(layout_.mixes.size()),
                        .log_prob = b.log_prob},
                       nullptr);
}

void Flow::inverse_start(const FlowBuffers& b, const Weights& w, const float* eps,
                         const int* labels, int l) const {
  const FlowBuffers::Level& level = b.levels[l];
  StepArgs columns{};
  columns.grid = level.grid, columns.channels = layout_.levels[l].channels;
  columns.from = level.state;
  // Sampling only reads eps; the arguments are those of log_prob, which writes it.
  float* latents = const_cast<float*>(eps);
  if (layout_.levels[l].has_split) {
    columns.columns = level.split_columns;
    backend_.step_inverse(columns, nullptr);
    split_parameters(b, w, l);
    backend_.prior_sample(split_of(b, l, latents), nullptr);
  } else {
    backend_.prior_sample(top_of(b, w, labels, latents), nullptr);
  }
  columns.columns = level.steps[config_.steps - 1].columns;
  backend_.step_inverse(columns, nullptr);
}

void Flow::inverse_step(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Level& level = b.levels[l];
  const MixFold& mix = layout_.mixes[step_index(l, k)];
  network(b, w, l, k);
  StepArgs step{};
  step.grid = level.grid, step.channels = layout_.levels[l].channels;
  step.from = step.to = level.state;
  step.taps = taps_of(b, w, l, k), step.kind = kind();
  step.mix = w.folded + mix.inverse, step.bias = w.parameters + mix.bias;
  if (k > 0) step.columns = level.steps[k - 1].columns;
  backend_.step_inverse(step, nullptr);
}

}  // namespace rheo
