// Autoregressive layers against the direction of their network. Each pass over all coordinates
// settles one more of them, since none depends on itself or a later one: as many passes as there
// are coordinates, of which the flow's own step is the last (MAF, arXiv:1705.07057, section 3.2;
// IAF, arXiv:1606.04934).

#include "src/model/flow.h"

namespace rheo {

/// Towards the prior for IAF, whose network sees the latents, towards the data for MAF, whose
/// network sees these. Columns show settled coordinates alone: what stands in place of the others
/// may be infinite, and a masked weight would make a NaN of it. Leaves columns of all but the last
/// coordinate, which no network sees.
void Flow::settle(const FlowBuffers& b, const Weights& w, int l, int k) const {
  const FlowBuffers::Level& level = b.levels[l];
  const bool forward = config_.family == Family::iaf;
  const auto run = forward ? backend_.step_forward : backend_.step_inverse;
  StepArgs pass{};
  pass.grid = level.grid, pass.channels = layout_.levels[l].channels;
  pass.from = level.state;
  pass.columns = level.steps[k].columns;
  pass.withheld = pass.channels;
  run(pass, stream());
  pass.to = level.turn;
  couple(pass, b, w, l, k);
  if (forward) pass.log_det = partials_of(b, l, k);
  while (--pass.withheld > 0) {
    network(b, w, l, k);
    run(pass, stream());
  }
}

/// Backward of IAF towards the prior. z = (x + shift(z)) s(z), so that the gradient v of z as it
/// acts through the layer is dz + N^T v, N the strictly triangular Jacobian of the right side by
/// way of the network: again one more coordinate of v is settled by each pass. Leaves dL/dx in
/// dstate and the taps' gradient for the network's weights.
void Flow::return_gradients(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int l,
                            int k, const float* dlog_prob) const {
  const FlowBuffers::Level& level = b.levels[l];
  StepBackwardArgs pass = coupling_backward(b, w, d, l, k, dlog_prob);
  float* bias = pass.dtap_bias;
  pass.dcolumns = level.split_columns;
  for (int i = 1; i <= pass.channels; ++i) {
    const bool last = i == pass.channels;
    pass.dx = last ? level.dstate : level.turn;
    pass.dtap_bias = last ? bias : d.folded + layout_.discarded;  // only the last pass counts
    backend_.step_backward(pass, stream());
    if (last) return;
    network_backward(b, w, d, l, k, false);
    pass.dcolumns.data = b.dcolumns;
  }
}

}  // namespace rheo
