#include <algorithm>

#include "src/model/flow.h"

namespace rheo {
namespace {

/// Null: what a prior lacks has no gradient.
float* at_or_null(float* base, std::int64_t offset) {
  return offset < 0 ? nullptr : base + offset;
}

}  // namespace

void Flow::backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d,
                    const float* dlog_prob, const int* labels, float* dx) const {
  const int top = layout_.scales() - 1;
  backend_.prior_backward({.forward = top_of(b, w, labels, nullptr),
                           .dlog_prob = dlog_prob,
                           .dz = b.levels[top].dstate,
                           .dmean = at_or_null(d.parameters, layout_.prior_mean),
                           .dlog_sd = at_or_null(d.parameters, layout_.prior_log_sd)},
                          stream());
  for (int l = top; l >= 0; --l) {
    level_backward(b, w, d, l, dlog_prob);
    float* to = l == 0 ? dx : b.levels[l - 1].dstate;
    if (to) leave(b, l, b.levels[l].dstate, to);
  }
  const int used = std::min(Queue::kSides, layout_.scales() * config_.steps);
  for (int i = 0; i < (b.overlap ? used : 0); ++i) backend_.wait(stream(), queue_.side(i));
}

void Flow::split_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                          const float* dlog_prob) const {
  const FlowBuffers::Level& level = b.levels[l];
  const int half = layout_.levels[l].channels / 2;
  const bool learned = layout_.has_learned_splits();
  backend_.prior_backward({.forward = split_of(b, w, l, nullptr),
                           .dlog_prob = dlog_prob,
                           .dz = level.dstate + half,
                           .dmean = level.dsplit,
                           .dlog_sd = learned ? level.dsplit + half : nullptr},
                          stream());
  if (!learned) return;
  const ProductFold& split = layout_.split(l);
  const std::int64_t rows = level.grid.pixels();
  StepArgs columns{};  // those of the forward pass, whose room others have used since
  columns.grid = level.grid, columns.channels = layout_.levels[l].channels;
  columns.from = level.state;
  columns.columns = level.split_columns;
  backend_.step_forward(columns, stream());
  backend_.linear_backward_weights({.rows = rows,
                                    .in = split.stride,
                                    .out = split.out,
                                    .type = Dtype::f32,
                                    .dy = level.dsplit,
                                    .x = level.split_columns.data,
                                    .dweight = d.packed + split.dmatrix,
                                    .dbias = nullptr},
                                   stream());
  backend_.linear_backward_data({.rows = rows,
                                 .in = split.stride,
                                 .out = split.out,
                                 .type = Dtype::f32,
                                 .dy = level.dsplit,
                                 .weight = static_cast<const char*>(w.packed) + split.matrix,
                                 .x = nullptr,
                                 .mask = nullptr,
                                 .dx_type = Dtype::f32,
                                 .dx = b.dcolumns},
                                stream());
}

/// Makes what the backward pass of mix k + 1 and coupling k needs and was not kept, but for hidden
/// activations.
void Flow::remake(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Level& level = b.levels[l];
  if (b.keep == Keep::invert) return invert_step(b, w, l, k);
  if (b.keep == Keep::full || k < 0) return;
  StepArgs columns{};  // the first half passes a coupling as it is
  columns.grid = level.grid, columns.channels = layout_.levels[l].channels;
  columns.from = k + 1 < config_.steps ? level.steps[k].coupled : level.state;
  columns.columns = level.steps[k].columns;
  backend_.step_forward(columns, stream());
}

/// The level's state is what mix k + 1 returned. Its input goes to the level's entry, the input of
/// coupling k back to the state; what the network makes on the way is left in its place.
void Flow::invert_step(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Level& level = b.levels[l];
  StepArgs mix{};
  mix.grid = level.grid, mix.channels = layout_.levels[l].channels;
  mix.from = level.state, mix.to = level.entry;
  if (k + 1 < config_.steps) {
    const MixFold& fold = layout_.mixes[step_index(l, k + 1)];
    mix.mix = w.folded + fold.inverse, mix.bias = w.folded + fold.folded_bias;
  }
  if (k >= 0 && level.steps[k].kept == nullptr) mix.columns = level.steps[k].columns;
  backend_.step_inverse(mix, stream());
  if (k < 0) return;
  StepArgs coupling{};
  coupling.grid = level.grid, coupling.channels = mix.channels;
  if (level.steps[k].kept) {
    // A state that was got back rounds to other bits than the one that the network saw.
    coupling.again = level.steps[k].kept, coupling.columns = level.steps[k].columns;
    backend_.step_forward(coupling, stream());
    coupling.again = nullptr, coupling.columns = {};
  }
  network(b, w, l, k);
  coupling.from = level.entry, coupling.to = level.state;
  couple(coupling, b, w, l, k);
  coupling.raw = level.steps[k].raw;
  backend_.step_inverse(coupling, stream());
}

void Flow::network_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                            int k, bool weights) const {
  const int side = side_of(l, k);
  for_each_part(b.levels[l].grid, [&](const Rows& rows) {
    // What was made of this scratch for the rows before has to be done.
    if (b.overlap && weights && rows.first > 0) backend_.wait(stream(), queue_.side(side));
    const Hidden hidden = hidden_of(b, l, k, rows, side);
    const Hidden& kept = b.levels[l].steps[k].hidden;
    network_part(b, w, l, k, rows, hidden, kept.h[1] == nullptr ? 2 : kept.h[0] == nullptr ? 1 : 0);
    network_part_backward(b, w, d, l, k, rows, hidden, weights);
  });
}

void Flow::network_part_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d,
                                 int l, int k, const Rows& rows, const Hidden& hidden,
                                 bool weights) const {
  const Columns& columns = b.levels[l].steps[k].columns;
  const FlowBuffers::Scratch& scratch = b.scratch[side_of(l, k)];
  const Stream side = side_stream(b, l, k);
  const ProductFold& last = layout_.conv(step_index(l, k), 2);
  const std::int64_t column = rows.first * columns.stride;
  const void* x[] = {at(columns.data, network_, column), hidden.h[0], hidden.h[1]};
  const void* masks[] = {nullptr, hidden.mask[0], hidden.mask[1]};
  const void* dy[] = {scratch.dh1, scratch.dh2, at(scratch.taps, network_, rows.first * last.rows)};
  void* dx[] = {b.dcolumns + column, scratch.dh1, scratch.dh2};
  for (int i = 2; i >= 0; --i) {
    const ProductFold& conv = layout_.conv(step_index(l, k), i);
    if (b.overlap && weights) backend_.wait(side, stream());
    if (weights)
      backend_.linear_backward_weights({.rows = rows.count,
                                        .in = conv.stride,
                                        .out = conv.rows,
                                        .type = network_,
                                        .dy = dy[i],
                                        .x = x[i],
                                        .dweight = d.packed + conv.dmatrix,
                                        .dbias = i == 1 ? d.folded + conv.folded_bias : nullptr},
                                       side);
    backend_.linear_backward_data({.rows = rows.count,
                                   .in = conv.stride,
                                   .out = conv.rows,
                                   .type = network_,
                                   .dy = dy[i],
                                   .weight = static_cast<const char*>(w.packed) + conv.matrix,
                                   .x = i == 0 ? nullptr : x[i],
                                   .mask = masks[i],
                                   .dx_type = i == 0 ? Dtype::f32 : network_,
                                   .dx = dx[i]},
                                  stream());
  }
}

/// Of coupling k alone, whose output's gradient is the level's dstate.
StepBackwardArgs Flow::coupling_backward(const FlowBuffers& b, const Weights& w,
                                         const WeightGradients& d, int l, int k,
                                         const float* dlog_prob) const {
  const FlowBuffers::Level& level = b.levels[l];
  const ProductFold& conv3 = layout_.conv(step_index(l, k), 2);
  const bool last = k + 1 == config_.steps;
  StepBackwardArgs step{};
  step.grid = level.grid, step.channels = layout_.levels[l].channels;
  step.dy = step.dx = level.dstate;
  step.workspace = b.sums;
  step.coupled = b.keep == Keep::invert ? level.entry : last ? level.state : level.steps[k].coupled;
  step.passed = layout_.levels[l].passed;
  step.taps = conv3.taps, step.kind = kind(), step.raw = level.steps[k].raw;
  step.gain = gain_of(w, l, k);
  step.dgain = step.gain ? d.parameters + (step.gain - w.parameters) : nullptr;
  step.dlog_det = dlog_prob;
  step.dtaps = b.scratch[side_of(l, k)].taps, step.dtaps_type = network_;
  step.dtaps_stride = conv3.rows;
  step.dtap_bias = d.folded + conv3.folded_bias;
  step.dtap_edge = conv3.edge < 0 ? nullptr : d.folded + conv3.folded_edge;
  return step;
}

/// Of mix k + 1, to be done with what `step` holds already.
void Flow::add_mix_backward(StepBackwardArgs& step, const FlowBuffers& b, const Weights& w,
                            const WeightGradients& d, int l, int k) const {
  const MixFold& mix = layout_.mixes[step_index(l, k + 1)];
  step.mix = w.folded + mix.mix, step.bias = w.folded + mix.folded_bias;
  if (learns_mixes()) step.dmix = d.folded + mix.mix, step.dsum = d.folded + mix.folded_bias;
  if (b.keep == Keep::invert) return;
  step.coupled = k < 0 ? b.levels[l].entry : b.levels[l].steps[k].coupled;
}

void Flow::level_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                          const float* dlog_prob) const {
  const FlowBuffers::Level& level = b.levels[l];
  const bool split = layout_.levels[l].has_split;
  if (split) split_backward(b, w, d, l, dlog_prob);
  for (int k = config_.steps - 1; k >= -1; --k) {  // mix k + 1 and coupling k
    remake(b, w, l, k);
    const bool mixed = k + 1 < config_.steps, apart = k < 0 || config_.family == Family::iaf;
    StepBackwardArgs step{};
    if (apart) {
      step.grid = level.grid, step.channels = layout_.levels[l].channels;
      step.passed = step.channels;
      step.dy = step.dx = level.dstate;
      step.workspace = b.sums;
      step.coupled = level.entry;
    } else {
      step = coupling_backward(b, w, d, l, k, dlog_prob);
    }
    if (mixed) add_mix_backward(step, b, w, d, l, k);
    step.dcolumns = level.split_columns;
    step.dcolumns.type = Dtype::f32;
    // A network that sees a layer's latents adds to their gradient within the layer.
    const bool seen = mixed ? config_.family != Family::iaf : split && layout_.has_learned_splits();
    step.dcolumns.data = seen ? b.dcolumns : nullptr;
    if (k >= 0) wait_for_scratch(b, l, k);
    if (mixed || !apart) backend_.step_backward(step, stream());
    if (k < 0) continue;
    if (apart) return_gradients(b, w, d, l, k, dlog_prob);
    network_backward(b, w, d, l, k);
  }
}

/// What was made of a step's scratch kSides steps ago has to be done.
void Flow::wait_for_scratch(const FlowBuffers& b, int l, int k) const {
  if (b.overlap && step_index(l, k) + Queue::kSides < layout_.scales() * config_.steps)
    backend_.wait(stream(), queue_.side(side_of(l, k)));
}

}  // namespace rheo
