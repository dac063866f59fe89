#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "rheo/config.h"
#include "src/arena.h"
#include "src/model/layout.h"
#include "src/queue.h"

namespace rheo {

/// A model's parameters and what was folded from them, in device memory.
struct Weights {
  const float* parameters;
  const float* folded;
  const void* packed;
  const double* log_det;
  const LinearPack* packs;  // of Layout::products; null: none

  const void* packed_of(const Layout& layout, const ProductFold& product) const {
    return packs ? packs[&product - layout.products.data()].packed : nullptr;
  }
};

/// Where the backward pass adds its sums.
struct WeightGradients {
  float* parameters;  // of the top prior only; weights_prepare_backward makes the rest
  float* folded;
  float* packed;
};

/// What a forward pass leaves for backward.
enum class Keep {
  nothing,  // there is none
  full,     // each step's columns and hidden activations (keeps_h1), its coupling's output and raw
  state,    // the coupling's output and raw; columns and all hidden activations are made again
  invert,   // with a bf16 network the bits of its input; all else by inverting
};

/// Value `index` of what is there.
inline char* at(void* base, Dtype type, std::int64_t index) {
  return static_cast<char*>(base) + index * size_of(type);
}

/// Consecutive pixels of a level's batch, which a coupling network works on at once.
struct Rows {
  std::int64_t first;
  std::int64_t count;
};

/// What a coupling network makes between its products.
struct Hidden {
  void* h[2];     // [rows, hidden]
  void* mask[2];  // of their ReLUs; null: the backend makes none
};

/// Room for one batch, taken from an arena.
struct FlowBuffers {
  /// Of one flow step. What is not kept is shared by all steps of all levels.
  struct Step {
    Columns columns;
    Hidden hidden;   // [P, hidden] each; null: made again when it is wanted
    float* raw;      // [P, coupling_kept(...)]
    float* coupled;  // [P, C]
    void* kept;      // [P, seen] bf16: the network's input
  };
  struct Level {
    Grid grid;
    float* entry;   // [P, C] squeezed input
    float* state;   // [P, C]
    float* dstate;  // [P, C]
    float* turn;    // [P, C] between passes of an autoregressive layer; null in other flows
    std::vector<Step> steps;
    Columns split_columns;  // in the room of dcolumns; null data: the split has no network
    float* split;           // [P, C] mean and log_sd
    float* dsplit;          // [P, C]
  };

  std::int64_t count;  // images
  Keep keep;
  /// Whether gradients of weights are made beside the next step's work, on the queue's sides: they
  /// need what that step would overwrite if it were not kept.
  bool overlap;
  std::vector<Level> levels;
  /// What a step's gradients of weights are made of: two in turn, where those of one step are
  /// still being made beside the next step's work; else both are the same.
  struct Scratch {
    float* taps;    // [P, taps outputs] of the step at hand; backward: its gradient
    Hidden hidden;  // of the rows at hand
    void* dh1;      // [rows, hidden]
    void* dh2;      // [rows, hidden]
  };
  Scratch scratch[Queue::kSides];
  float* dcolumns;  // [P, stride] of the level at hand; while a split is at work, its columns
  float* sums;      // workspace of step_backward
  Partials partials;
  int partials_used;
  double* log_prob;  // [N]
};

/// The order of calls: a flow in both directions and its gradient, on any backend. Holds no memory.
class Flow {
 public:
  Flow(const ModelConfig& config, const Layout& layout, const Queue& queue, Dtype network)
      : config_(config),
        layout_(layout),
        queue_(queue),
        backend_(queue.backend()),
        network_(network) {}

  /// Lays buffers for `count` images out in `arena` (a dry run over none gives the size).
  FlowBuffers plan(Arena& arena, std::int64_t count, Keep keep) const;

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

  /// Pixels that a network works on at once, at most.
  std::int64_t rows_at_once() const;
  /// f(rows) for each part of a level's pixels that a network works on at once. A function of the
  /// shape alone: sums over all pixels are made part by part.
  template <class F>
  void for_each_part(const Grid& grid, const F& f) const {
    const std::int64_t all = grid.pixels(), most = rows_at_once();
    for (std::int64_t first = 0; first < all; first += most)
      f(Rows{first, std::min(most, all - first)});
  }

  /// The taps of a step from its columns.
  void network(const FlowBuffers& b, const Weights& w, int level, int step) const;
  /// Of some rows, the first `products` alone, by way of `hidden`.
  void network_part(const FlowBuffers& b, const Weights& w, int level, int step, const Rows& rows,
                    const Hidden& hidden, int products) const;
  /// Where a step's hidden activations of some rows lie: in its own room, or in a side's.
  Hidden hidden_of(const FlowBuffers& b, int level, int step, const Rows& rows, int side = 0) const;

  /// What `network` left, with the folded bias and edge of the step.
  Taps taps_of(const FlowBuffers& b, const Weights& w, int level, int step) const;

  CouplingKind kind() const;
  PriorKind prior_kind() const {
    return config_.prior == Prior::logistic ? PriorKind::logistic : PriorKind::gaussian;
  }
  int outputs(const LevelLayout& level) const { return coupling_outputs(kind(), level.moved); }
  /// What a coupling of `step` needs besides its states.
  void couple(StepArgs& args, const FlowBuffers& b, const Weights& w, int level, int step) const;
  int step_index(int level, int step) const { return level * config_.steps + step; }
  /// Where a step leaves its partials of the log-det; step = steps: those of the level's prior.
  Partials partials_of(const FlowBuffers& b, int level, int step) const;
  /// Whose scratch and side stream a step's backward uses: its neighbours use the other.
  int side_of(int level, int step) const { return step_index(level, step) % Queue::kSides; }
  SqueezeArgs squeeze_of(const FlowBuffers& b, int level, const float* from, float* to) const;
  /// Between an image's pixels and a level's; a vector goes as it is.
  void enter(const FlowBuffers& b, int level, const float* from, float* to) const;
  void leave(const FlowBuffers& b, int level, const float* from, float* to) const;

 private:
  Stream stream() const { return queue_.stream(); }
  /// Whether `full` keeps a network's first hidden activations. They take as much memory as the
  /// second and, unless the network is narrow, little time to be made again.
  bool keeps_h1() const;
  Hidden plan_hidden(Arena& arena, std::int64_t rows, bool h1, bool h2, bool masks) const;
  FlowBuffers::Step plan_step(Arena& arena, const LevelLayout& level, const FlowBuffers& b,
                              const FlowBuffers::Step& shared, bool last) const;
  FlowBuffers::Level plan_level(Arena& arena, int level, const FlowBuffers& b,
                                const FlowBuffers::Step& shared) const;
  FlowBuffers::Scratch plan_scratch(Arena& arena, const FlowBuffers& b, std::int64_t rows,
                                    std::int64_t taps) const;
  Stream side_stream(const FlowBuffers& b, int level, int step) const {
    return b.overlap ? queue_.side(side_of(level, step)) : stream();
  }
  PriorArgs top_of(const FlowBuffers& b, const Weights& w, const int* labels, float* eps) const;
  PriorArgs split_of(const FlowBuffers& b, const Weights& w, int level, float* eps) const;
  bool prior_is_bounded() const {
    return config_.family == Family::glow && config_.scale == Scale::bounded;
  }
  const float* gain_of(const Weights& w, int level, int step) const;
  /// Whether a mix is more than a fixed permutation.
  bool learns_mixes() const { return layout_.has_actnorm() || layout_.mixes[0].has_factors(); }
  void split_parameters(const FlowBuffers& b, const Weights& w, int level) const;
  void forward_level(const FlowBuffers& b, const Weights& w, int level, float* eps) const;
  void split_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                      const float* dlog_prob) const;
  void remake(const FlowBuffers& b, const Weights& w, int level, int step) const;
  void invert_step(const FlowBuffers& b, const Weights& w, int level, int step) const;
  /// Gradients of the columns and, if `weights`, of the network's weights.
  void network_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                        int step, bool weights = true) const;
  StepBackwardArgs coupling_backward(const FlowBuffers& b, const Weights& w,
                                     const WeightGradients& d, int level, int step,
                                     const float* dlog_prob) const;
  void add_mix_backward(StepBackwardArgs& args, const FlowBuffers& b, const Weights& w,
                        const WeightGradients& d, int level, int step) const;
  void wait_for_scratch(const FlowBuffers& b, int level, int step) const;
  void network_part_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d,
                             int level, int step, const Rows& rows, const Hidden& hidden,
                             bool weights) const;
  void level_backward(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                      const float* dlog_prob) const;
  void inverse_start(const FlowBuffers& b, const Weights& w, const float* eps, const int* labels,
                     int level) const;
  void inverse_step(const FlowBuffers& b, const Weights& w, int level, int step) const;

  // Autoregressive layers against the direction of their network (autoregressive.cpp).
  void settle(const FlowBuffers& b, const Weights& w, int level, int step) const;
  void return_gradients(const FlowBuffers& b, const Weights& w, const WeightGradients& d, int level,
                        int step, const float* dlog_prob) const;

  const ModelConfig& config_;
  const Layout& layout_;
  const Queue& queue_;
  const Backend& backend_;
  Dtype network_;
};

template <class F>
void Flow::inverse(const FlowBuffers& b, const Weights& w, const float* eps, const int* labels,
                   float* x, const F& after_step) const {
  for (int l = layout_.scales() - 1; l >= 0; --l) {
    inverse_start(b, w, eps, labels, l);
    after_step(l, -1);
    for (int k = config_.steps - 1; k >= 0; --k) {
      inverse_step(b, w, l, k);
      after_step(l, k);
    }
    leave(b, l, b.levels[l].state, l == 0 ? x : b.levels[l - 1].state);
  }
}

}  // namespace rheo
