#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rheo/trainer.h"
#include "src/arena.h"
#include "src/model/impl.h"
#include "src/train/feed.h"

namespace rheo {

/// Where a run stands besides its weights; all of it is in a checkpoint.
struct RunPosition {
  std::int64_t steps = 0;    // updates asked for
  std::int64_t updates = 0;  // of those, made
  std::int64_t skipped_in_row = 0;
  std::int64_t images = 0;     // position in the data's order
  std::int64_t rollbacks = 0;  // each halves the learning rate
};

struct StoredState;

/// What a resolved mode keeps.
Keep keep_of(Memory memory);

class Trainer::Impl {
 public:
  /// `fingerprint`: of the data, where it is known.
  Impl(Model model, const Dataset& train, const TrainOptions& options,
       std::string fingerprint = {});

  /// What a trainer of this model takes: `automatic` is the fastest mode that leaves a tenth of the
  /// free memory to others.
  static MemoryPlan planned(const Model::Impl& model, const TrainOptions& options, Memory memory);
  const MemoryPlan& plan() const { return plan_; }

  StepReport step();

  /// Throws diverged, naming the layer, once too many updates in a row were skipped.
  void require_progress();
  /// Back to what `save` wrote of this run, with half the learning rate from there on.
  void roll_back(const std::string& folder);

  Model& newest() { return model_; }
  Model& model();
  Model release();

  const TrainOptions& options() const { return options_; }
  std::int64_t steps_done() const { return at_.steps; }
  std::int64_t last_update() const { return at_.steps - at_.skipped_in_row; }
  std::int64_t rollbacks() const { return at_.rollbacks; }

  void save(const std::string& folder);

  /// A trainer that goes on from what `save` wrote.
  static std::unique_ptr<Impl> resumed(const std::string& folder, const Dataset& train,
                                       const Compute& compute, bool allow_inexact);

 private:
  struct Named {
    const char* name;
    DeviceBuffer* buffer;
  };
  std::vector<Named> state();
  void restore(const StoredState& stored);

  /// A buffer of the trainer's, all zero at first, and what it is for.
  struct Piece {
    DeviceBuffer Impl::*buffer;
    std::int64_t bytes;
    const char* what;
  };
  static std::vector<Piece> optimizer_pieces(const Model::Impl& model, const TrainOptions& options);
  static std::vector<Piece> batch_pieces(const Model::Impl& model, const TrainOptions& options);
  static MemoryPlan parts(const Model::Impl& model, const TrainOptions& options, Memory memory);

  double learning_rate(std::int64_t images) const;
  void initialize();
  StepReport make_step();
  void take_room();
  void clear_gradients();
  const float* batch_x();
  const int* batch_labels() const;
  void run_batch(std::int64_t index);
  void update();
  StepReport report(double learning_rate);
  /// What of the last update is not finite, or was not.
  std::string fault();
  /// Throws diverged, naming what it is, where something that a checkpoint holds is not finite or
  /// the weights make numbers that are not.
  void require_sound();
  Model::Impl& net() { return model_.impl(); }
  std::map<std::string, std::string> metadata() const;

  Model model_;
  const Dataset& data_;
  const std::string fingerprint_;  // of the data
  TrainOptions options_;
  RunPosition at_;
  std::optional<Model> averaged_;  // a second model for the averaged weights, made when asked for
  bool averaged_is_stale_ = true;

  MemoryPlan plan_;
  DeviceBuffer gradient_, dfolded_, dpacked_, first_, second_, average_;
  DeviceBuffer room_, x_, dlog_prob_, log_prob_, control_, norm_;
  FlowBuffers buffers_{};
  std::vector<double> losses_;  // log_prob_ on the host
  std::unique_ptr<Feed> feed_;
  Repeated whole_step_;
};

}  // namespace rheo
