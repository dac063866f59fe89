#include "src/model/flow.h"

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

}  // namespace

CouplingKind Flow::kind() const {
  if (config_.is_autoregressive()) return CouplingKind::exponential;
  if (config_.coupling == Coupling::additive) return CouplingKind::additive;
  if (config_.scale == Scale::tanh) return CouplingKind::tanh;
  return config_.scale == Scale::sigmoid2 ? CouplingKind::sigmoid2 : CouplingKind::bounded;
}

void Flow::enter(const FlowBuffers& b, int l, const float* from, float* to) const {
  if (!config_.is_vector()) return backend_.squeeze_forward(squeeze_of(b, l, from, to), stream());
  if (from != to) backend_.copy(to, from, b.count * config_.dims() * sizeof(float), stream());
}

void Flow::leave(const FlowBuffers& b, int l, const float* from, float* to) const {
  if (!config_.is_vector()) return backend_.squeeze_inverse(squeeze_of(b, l, from, to), stream());
  if (from != to) backend_.copy(to, from, b.count * config_.dims() * sizeof(float), stream());
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
  return {b.scratch[0].taps, conv3.taps, conv3.rows, w.folded + conv3.folded_bias,
          conv3.edge < 0 ? nullptr : w.folded + conv3.folded_edge};
}

void Flow::couple(StepArgs& step, const FlowBuffers& b, const Weights& w, int l, int k) const {
  step.passed = layout_.levels[l].passed;
  step.taps = taps_of(b, w, l, k);
  step.kind = kind();
  step.gain = gain_of(w, l, k);
}

const float* Flow::gain_of(const Weights& w, int l, int k) const {
  return layout_.gains < 0 ? nullptr : w.parameters + layout_.gains + step_index(l, k);
}

PriorArgs Flow::top_of(const FlowBuffers& b, const Weights& w, const int* labels,
                       float* eps) const {
  const int l = layout_.scales() - 1, channels = layout_.levels[l].channels;
  const float* zeros = w.folded + layout_.zeros;
  return {.grid = b.levels[l].grid,
          .channels = channels,
          .z = b.levels[l].state,
          .z_stride = channels,
          .mean = layout_.prior_mean < 0 ? zeros : w.parameters + layout_.prior_mean,
          .log_sd = layout_.prior_log_sd < 0 ? zeros : w.parameters + layout_.prior_log_sd,
          .parameter_stride = channels,
          .by_label = true,
          .labels = labels,
          .bounded = prior_is_bounded(),
          .eps = eps ? eps + latent_offset(layout_, l) : nullptr,
          .eps_stride = config_.dims(),
          .log_prob = partials_of(b, l, config_.steps),
          .kind = prior_kind()};
}

PriorArgs Flow::split_of(const FlowBuffers& b, const Weights& w, int l, float* eps) const {
  const int channels = layout_.levels[l].channels, half = channels / 2;
  const bool learned = layout_.has_learned_splits();
  const float* zeros = w.folded + layout_.zeros;
  return {.grid = b.levels[l].grid,
          .channels = half,
          .z = b.levels[l].state + half,
          .z_stride = channels,
          .mean = learned ? b.levels[l].split : zeros,
          .log_sd = learned ? b.levels[l].split + half : zeros,
          .parameter_stride = channels,
          .by_label = !learned,
          .labels = nullptr,
          .bounded = prior_is_bounded(),
          .eps = eps ? eps + latent_offset(layout_, l) : nullptr,
          .eps_stride = config_.dims(),
          .log_prob = partials_of(b, l, config_.steps),
          .kind = prior_kind()};
}

void Flow::split_parameters(const FlowBuffers& b, const Weights& w, int l) const {
  if (!layout_.has_learned_splits()) return;
  const ProductFold& split = layout_.split(l);
  const FlowBuffers::Level& level = b.levels[l];
  backend_.linear_forward({.rows = level.grid.pixels(),
                           .in = split.stride,
                           .out = split.out,
                           .type = Dtype::f32,
                           .x = level.split_columns.data,
                           .weight = static_cast<const char*>(w.packed) + split.matrix,
                           .packed = w.packed_of(layout_, split),
                           .bias = nullptr,
                           .relu = false,
                           .y_type = Dtype::f32,
                           .y = level.split,
                           .mask = nullptr},
                          stream());
}

Hidden Flow::hidden_of(const FlowBuffers& b, int l, int k, const Rows& rows, int side) const {
  const Hidden& kept = b.levels[l].steps[k].hidden;
  Hidden hidden = b.scratch[side].hidden;
  for (int i = 0; i < 2; ++i) {
    if (kept.h[i] == nullptr) continue;
    hidden.h[i] = at(kept.h[i], network_, rows.first * config_.hidden);
    hidden.mask[i] = kept.mask[i] ? static_cast<char*>(kept.mask[i]) +
                                        relu_mask_bytes(rows.first, config_.hidden)
                                  : nullptr;
  }
  return hidden;
}

void Flow::network(const FlowBuffers& b, const Weights& w, int l, int k) const {
  for_each_part(b.levels[l].grid, [&](const Rows& rows) {
    network_part(b, w, l, k, rows, hidden_of(b, l, k, rows), 3);
  });
}

void Flow::network_part(const FlowBuffers& b, const Weights& w, int l, int k, const Rows& rows,
                        const Hidden& hidden, int products) const {
  const Columns& columns = b.levels[l].steps[k].columns;
  const int taps = layout_.conv(step_index(l, k), 2).rows;
  const void* x[] = {at(columns.data, network_, rows.first * columns.stride), hidden.h[0],
                     hidden.h[1]};
  void* y[] = {hidden.h[0], hidden.h[1], at(b.scratch[0].taps, Dtype::f32, rows.first * taps)};
  void* masks[] = {hidden.mask[0], hidden.mask[1], nullptr};
  const char* packed = static_cast<const char*>(w.packed);
  for (int i = 0; i < products; ++i) {
    const ProductFold& conv = layout_.conv(step_index(l, k), i);
    const bool to_taps = i == 2;
    backend_.linear_forward({.rows = rows.count,
                             .in = conv.stride,
                             .out = conv.rows,
                             .type = network_,
                             .x = x[i],
                             .weight = packed + conv.matrix,
                             .packed = w.packed_of(layout_, conv),
                             .bias = conv.linear_bias < 0 ? nullptr : packed + conv.linear_bias,
                             .relu = !to_taps,
                             .y_type = to_taps ? Dtype::f32 : network_,
                             .y = y[i],
                             .mask = masks[i]},
                            stream());
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
      if (config_.family == Family::iaf) settle(b, w, l, k);
      network(b, w, l, k);
      couple(step, b, w, l, k);
      step.log_det = partials_of(b, l, k);
      if (b.keep != Keep::invert)
        step.raw = buffers.steps[k].raw, step.coupled = buffers.steps[k].coupled;
    }
    if (k + 1 < config_.steps) {
      const MixFold& mix = layout_.mixes[step_index(l, k + 1)];
      step.mix = w.folded + mix.mix, step.bias = w.folded + mix.folded_bias;
      step.columns = buffers.steps[k + 1].columns;
      step.kept = buffers.steps[k + 1].kept;
    }
    backend_.step_forward(step, stream());
  }
  if (!level.has_split) return;
  split_parameters(b, w, l);
  backend_.prior_log_prob(split_of(b, w, l, eps), stream());
}

void Flow::forward(const FlowBuffers& b, const Weights& w, const float* x, const int* labels,
                   float* eps) const {
  for (int l = 0; l < layout_.scales(); ++l) {
    enter(b, l, l == 0 ? x : b.levels[l - 1].state, b.levels[l].entry);
    forward_level(b, w, l, eps);
  }
  top_log_prob(b, w, labels, eps);
}

void Flow::top_log_prob(const FlowBuffers& b, const Weights& w, const int* labels,
                        float* eps) const {
  backend_.prior_log_prob(top_of(b, w, labels, eps), stream());
  backend_.log_det_sum({.partials = b.partials,
                        .count = b.count,
                        .used = b.partials_used,
                        .constants = w.log_det,
                        .constant_count = static_cast<int>(layout_.mixes.size()),
                        .log_prob = b.log_prob},
                       stream());
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
    if (columns.columns.data) backend_.step_inverse(columns, stream());
    split_parameters(b, w, l);
    backend_.prior_sample(split_of(b, w, l, latents), stream());
  } else {
    backend_.prior_sample(top_of(b, w, labels, latents), stream());
  }
  columns.columns = level.steps[config_.steps - 1].columns;
  backend_.step_inverse(columns, stream());
}

void Flow::inverse_step(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Level& level = b.levels[l];
  const MixFold& mix = layout_.mixes[step_index(l, k)];
  if (config_.family == Family::maf) settle(b, w, l, k);
  network(b, w, l, k);
  StepArgs step{};
  step.grid = level.grid, step.channels = layout_.levels[l].channels;
  step.from = step.to = level.state;
  couple(step, b, w, l, k);
  step.mix = w.folded + mix.inverse, step.bias = w.folded + mix.folded_bias;
  if (k > 0) step.columns = level.steps[k - 1].columns;
  backend_.step_inverse(step, stream());
}

}  // namespace rheo
