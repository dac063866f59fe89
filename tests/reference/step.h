#pragma once

#include "kernels/step.h"
#include "tests/reference/image.h"

namespace rheo::reference {

/// The values of one step of the flow, in double; what is absent is empty.
struct Step {
  Grid grid{};
  int channels = 0, passed = 0;
  CouplingKind kind = CouplingKind::additive;
  int taps = 9;
  Values from;
  Values tap_data, tap_bias, tap_edge;
  Values gain;  // one value, of `tanh`
  Values mix, bias;
};

struct StepOutputs {
  Values raw;      // [P, coupling_kept(...)]
  Values coupled;  // [P, C]
  Values to;       // [P, C]
  Values log_det;  // [N]
};

/// [coupling][mix], value by value from the formulas of kernels/step.h.
StepOutputs step_forward(const Step& step);
StepOutputs step_inverse(const Step& step);

/// Columns of the first channels of `to` [P, C] that `like` says; [P, like.stride].
Values step_columns(const Grid& grid, int channels, const Values& to, const Columns& like);

}  // namespace rheo::reference
