#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "rheo/config.h"
#include "src/arena.h"
#include "src/model/layout.h"

namespace rheo {

/// A model's parameters and what was folded from them, in device memory.
struct Weights {
  const float* parameters;
  const float* folded;
  const void* packed;
  const double* log_det;
};

/// Where the backward pass adds its sums.
struct WeightGradients {
  float* parameters;  // of the top prior only; weights_prepare_backward makes the rest
  float* folded;
  float* packed;
};

/// Room for one batch, taken from an arena.
struct FlowBuffers {
  /// What one flow step keeps for backward; all steps of a level share one when nothing is kept.
  struct Step {
    Columns columns;
    void* h1;        // [P, hidden]
    void* h2;        // [P, hidden]
    float* raw;      // [P, C / 2]
    float* coupled;  // [P, C]
  };
  struct Level {
    Grid grid;
    float* entry;   // [P, C] squeezed input
    float* state;   // [P, C]
    float* dstate;  // [P, C]
    std::vector<Step> steps;
    Columns split_columns;
    float* split;   // [P, C] mean and log_sd
    float* dsplit;  // [P, C]
  };

  std::int64_t count;  // images
  bool backward;
  std::vector<Level> levels;
  float* taps;      // [P, 9 outputs] of the step at hand; backward: its gradient
  void* dh1;        // [P, hidden]
  void* dh2;        // [P, hidden]
  float* dcolumns;  // [P, stride]
  float* sums;      // workspace of step_backward
  Partials partials;
  int partials_used;
  double* log_prob;  // [N]
};

/// The order of calls: a Glow in both directions and its gradient, on any backend. Holds no memory.
class Flow {
 public:
  Flow(const ModelConfig& config, const Layout& layout, const Backend& backend, Dtype network)
      : config_(config), layout_(layout), backend_(backend), network_(network) {}

  /// Lays buffers for `count` images out in `arena` (a dry run over none gives the size).
  FlowBuffers plan(Arena& arena, std::int64_t count, bool backward) const;

  /// x [N, H, W, C] to log p in b.log_prob and, where `eps` is not null, latents [N, D].
  /// Labels may be null.
  void forward(const FlowBuffers& b, const Weights& w, const float* x, const int* labels,
               float* eps) const;

  /// After forward: log p(x | label) of the same images, the top prior alone evaluated again.
  void top_log_prob(const FlowBuffers& b, const Weights& w, const int* labels, float* eps) const;

  /// Latents to x. Step by step: `after_step(level, step)` where given (step = -1: the prior).
  template <class F>
  void inverse(const FlowBuffers& b, const Weights& w, const float* eps, const int* labels,
               float* x, const F& after_step) const;

  /// After forward with backward buffers: adds the gradients of sum_n dlog_prob_n log p(x_n).
  /// Where `dx` is not null, writes the gradient of x there.
  void backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d,
                const float* dlog_prob, const int* labels, float* dx) const;

  /// The network's hidden activations and taps of step `s` from its columns.
  void network(const FlowBuffers& b, const Weights& w, int level, int step) const;

  /// What `network` left, with the folded bias and edge of the step.
  Taps taps_of(const FlowBuffers& b, const Weights& w, int level, int step) const;

  CouplingKind kind() const;
  int outputs(int channels) const { return coupling_outputs(kind(), channels); }
  int step_index(int level, int step) const { return level * config_.steps + step; }
  SqueezeArgs squeeze_of(const FlowBuffers& b, int level, const float* from, float* to) const;

 private:
  FlowBuffers::Step plan_step(Arena& arena, const LevelLayout& level, const Grid& grid,
                              bool keep) const;
  FlowBuffers::Level plan_level(Arena& arena, int level, FlowBuffers& b) const;
  PriorArgs top_of(const FlowBuffers& b, const Weights& w, const int* labels, float* eps) const;
  PriorArgs split_of(const FlowBuffers& b, int level, float* eps) const;
  void split_parameters(const FlowBuffers& b, const Weights& w, int level) const;
  Partials partials_of(const FlowBuffers& b, int level, int step) const;
  void forward_level(const FlowBuffers& b, const Weights& w, int level, float* eps) const;
  void split_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                      const float* dlog_prob) const;
  void network_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                        int step) const;
  void level_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                      const float* dlog_prob) const;
  void inverse_start(const FlowBuffers& b, const Weights& w, const float* eps, const int* labels,
                     int level) const;
  void inverse_step(const FlowBuffers& b, const Weights& w, int level, int step) const;

  const ModelConfig& config_;
  const Layout& layout_;
  const Backend& backend_;
  Dtype network_;
};

template <class F>
void Flow::inverse(const FlowBuffers& b, const Weights& w, const float* eps, const int* labels,
                   float* x, const F& after_step) const {
  for (int l = config_.levels - 1; l >= 0; --l) {
    inverse_start(b, w, eps, labels, l);
    after_step(l, -1);
    for (int k = config_.steps - 1; k >= 0; --k) {
      inverse_step(b, w, l, k);
      after_step(l, k);
    }
    float* to = l == 0 ? x : b.levels[l - 1].state;
    backend_.squeeze_inverse(squeeze_of(b, l, b.levels[l].state, to), nullptr);
  }
}

}  // namespace rheo
