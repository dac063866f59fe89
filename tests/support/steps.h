#pragma once

#include <string>
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
  int moved = kHalf;

  static constexpr int kHalf = -1;  // less than the passed ones by one where C is odd
  int passed() const { return moved == kHalf ? (channels + 1) / 2 : channels - moved; }
  /// Channels that the network, and so the columns, see: the passed ones; all where none passes.
  int seen() const { return passed() ? passed() : channels; }
};

constexpr CouplingKind kCouplingKinds[] = {CouplingKind::additive, CouplingKind::sigmoid2,
                                           CouplingKind::bounded, CouplingKind::tanh,
                                           CouplingKind::exponential};

std::string told(const StepShape& shape);

/// Kinds, taps, edge and mix in all combinations, on images of some tiles and on small ones, with
/// channels that loops are unrolled for and others; vectors, odd channels, and couplings that move
/// all channels.
std::vector<StepShape> step_shapes();

/// The step of one case of kCaseShapes: where channels are no multiple of 3, one fewer, with other
/// kinds, and with option 1 all moved.
StepShape step_of(const CaseShape& shape);

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
