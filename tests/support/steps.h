#pragma once

#include <vector>

#include "tests/reference/step.h"
#include "tests/support/cases.h"

namespace rheo::test {

/// Which of its options a step takes.
struct StepShape {
  Grid grid;
  int channels;
  CouplingKind kind;
  int taps;  // 9 or 1; 0: no coupling
  bool edge;
  bool mix;
};

/// Kinds, taps, edge and mix in all combinations, on images of some tiles and on small ones, with
/// channels that loops are unrolled for and others.
std::vector<StepShape> step_shapes();

/// One random step in a backend's memory and the same in double.
struct StepPair {
  StepArgs args;  // writes everything that it can, and float32 columns
  reference::Step want;
};

StepPair make_step(Arena& arena, const StepShape& shape);

std::vector<double> doubles(const std::vector<float>& values);

/// The log-det of each image, from the partials of a step of make_step.
std::vector<double> log_dets(const Arena& arena, const StepArgs& args);

}  // namespace rheo::test
