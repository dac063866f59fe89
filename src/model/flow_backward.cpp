#include "src/model/flow.h"

namespace rheo {

void Flow::backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d,
                    const float* dlog_prob, const int* labels, float* dx) const {
  const int top = config_.levels - 1;
  backend_.prior_backward({.forward = top_of(b, w, labels, nullptr),
                           .dlog_prob = dlog_prob,
                           .dz = b.levels[top].dstate,
                           .dmean = d.parameters + layout_.prior_mean,
                           .dlog_sd = d.parameters + layout_.prior_log_sd},
                          nullptr);
  for (int l = top; l >= 0; --l) {
    level_backward(b, w, d, l, dlog_prob);
    float* to = l == 0 ? dx : b.levels[l - 1].dstate;
    if (to) backend_.squeeze_inverse(squeeze_of(b, l, b.levels[l].dstate, to), nullptr);
  }
}

void Flow::split_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                          const float* dlog_prob) const {
  const FlowBuffers::Level& level = b.levels[l];
  const ProductFold& split = layout_.split(l);
  const int half = layout_.levels[l].channels / 2;
  const std::int64_t rows = level.grid.pixels();
  backend_.prior_backward({.forward = split_of(b, l, nullptr),
                           .dlog_prob = dlog_prob,
                           .dz = level.dstate + half,
                           .dmean = level.dsplit,
                           .dlog_sd = level.dsplit + half},
                          nullptr);
  backend_.linear_backward_weights({.rows = rows,
                                    .in = split.stride,
                                    .out = split.out,
                                    .type = Dtype::f32,
                                    .dy = level.dsplit,
                                    .x = level.split_columns.data,
                                    .dweight = d.packed + split.dmatrix,
                                    .dbias = nullptr},
                                   nullptr);
  backend_.linear_backward_data({.rows = rows,
                                 .in = split.stride,
                                 .out = split.out,
                                 .type = Dtype::f32,
                                 .dy = level.dsplit,
                                 .weight = static_cast<const char*>(w.packed) + split.matrix,
                                 .x = nullptr,
                                 .dx_type = Dtype::f32,
                                 .dx = b.dcolumns},
                                nullptr);
}

void Flow::network_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                            int k) const {
  const FlowBuffers::Step& step = b.levels[l].steps[k];
  const std::int64_t rows = b.levels[l].grid.pixels();
  const void* x[] = {step.columns.data, step.h1, step.h2};
  const void* dy[] = {b.dh1, b.dh2, b.taps};
  void* dx[] = {b.dcolumns, b.dh1, b.dh2};
  for (int i = 2; i >= 0; --i) {
    const ProductFold& conv = layout_.conv(step_index(l, k), i);
    const int out = i == 2 ? conv.taps * conv.out : conv.out;
    backend_.linear_backward_weights({.rows = rows,
                                      .in = conv.stride,
                                      .out = out,
                                      .type = network_,
                                      .dy = dy[i],
                                      .x = x[i],
                                      .dweight = d.packed + conv.dmatrix,
                                      .dbias = i == 1 ? d.folded + conv.folded_bias : nullptr},
                                     nullptr);
    backend_.linear_backward_data({.rows = rows,
                                   .in = conv.stride,
                                   .out = out,
                                   .type = network_,
                                   .dy = dy[i],
                                   .weight = static_cast<const char*>(w.packed) + conv.matrix,
                                   .x = i == 0 ? nullptr : x[i],
                                   .dx_type = i == 0 ? Dtype::f32 : network_,
                                   .dx = dx[i]},
                                  nullptr);
  }
}

void Flow::level_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                          const float* dlog_prob) const {
  const LevelLayout& layout = layout_.levels[l];
  const FlowBuffers::Level& level = b.levels[l];
  if (layout.has_split) split_backward(b, w, d, l, dlog_prob);
  for (int k = config_.steps - 1; k >= -1; --k) {  // mix k + 1 and coupling k
    StepBackwardArgs step{};
    step.grid = level.grid, step.channels = layout.channels;
    step.dy = step.dx = level.dstate;
    step.dcolumns = level.split_columns;
    step.dcolumns.type = Dtype::f32;
    step.dcolumns.data = k + 1 < config_.steps || layout.has_split ? b.dcolumns : nullptr;
    step.coupled = level.state;
    step.workspace = b.sums;
    if (k + 1 < config_.steps) {
      const MixFold& mix = layout_.mixes[step_index(l, k + 1)];
      step.mix = w.folded + mix.mix, step.bias = w.parameters + mix.bias;
      step.dmix = d.folded + mix.mix, step.dsum = d.folded + mix.sum;
      step.coupled = k < 0 ? level.entry : level.steps[k].coupled;
    }
    if (k >= 0) {
      const ProductFold& conv3 = layout_.conv(step_index(l, k), 2);
      step.taps = 9, step.kind = kind(), step.raw = level.steps[k].raw;
      step.dlog_det = dlog_prob;
      step.dtaps = b.taps, step.dtaps_type = network_;
      step.dtap_bias = d.folded + conv3.folded_bias;
      step.dtap_edge = conv3.edge < 0 ? nullptr : d.folded + conv3.folded_edge;
    }
    backend_.step_backward(step, nullptr);
    if (k >= 0) network_backward(b, w, d, l, k);
  }
}

}  // namespace rheo
