#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/loss.h"
#include "cli/metrics.h"
#include "cli/progress.h"
#include "cli/run_directory.h"
#include "rheo/dataset.h"
#include "rheo/trainer.h"

namespace rheo::cli {

/// When a run stops, and how many updates lie between what it does on the way; 0: only at the end.
struct Routine {
  std::int64_t updates = 0;
  double minutes = 0;  ///< 0: no limit.
  std::int64_t save_every = 1000;
  std::int64_t sample_every = 1000;
  std::int64_t validate_every = 1000;
  std::int64_t validate_images = 1000;  ///< 0: all.
  int keep = 3;
  int samples = 64;
  double sample_temperature = 0.7;
};

/// The loop of `rheo train`: updates, and around them metrics, tests, pictures and checkpoints.
class Training {
 public:
  /// `test` may be null. `resumed`: the trainer's state is the run's newest checkpoint.
  Training(Trainer& trainer, const RunDirectory& run, const Dataset* test, const Routine& routine,
           bool resumed, ProgressLine& progress);

  /// Until the last update, the time limit or a signal, and always saves. Returns the exit code.
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  bool finished() const;
  void catch_up();
  /// False where the run went back to a checkpoint instead.
  bool update();
  /// To the newest checkpoint of other weights than those that failed.
  /// @throws Error diverged, with that reason, where there is none and the second time in a run.
  void go_back(const std::string& reason);
  void gone_back(std::int64_t from, const std::string& reason,
                 const std::vector<std::int64_t>& damaged);
  void mend_rollback();
  Metrics::Past cut_metrics();
  void keep_record(const StepReport& report, double seconds);
  void show(double fraction);
  bool due(std::int64_t every) const;
  void validate();
  Score test_score(std::int64_t images, bool last);
  Loss loss_of(const Score& score) const;
  void sample();
  void save();
  /// False where the model is none to keep; training may mend it, or goes back.
  bool save_if_sound();
  void finish();
  int stopped();
  double elapsed() const;
  double fraction_done() const;

  Trainer& trainer_;
  const ModelConfig config_;
  const RunDirectory& run_;
  const Dataset* test_;
  Routine routine_;
  ProgressLine& progress_;
  Metrics metrics_;
  Metrics::Past past_;
  Clock::time_point start_ = Clock::now();
  std::int64_t first_step_;
  std::int64_t saved_step_ = -1;
  std::int64_t validated_step_ = -1;
  std::int64_t skipped_ = 0;
  int refusals_ = 0;  ///< Of saves in a row, each of other weights.
  std::string refused_;
  std::int64_t refused_step_ = -1;
  std::optional<double> loss_;  ///< Smoothed.
  double items_per_s_ = 0;
};

}  // namespace rheo::cli
