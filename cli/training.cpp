#include "cli/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/options.h"
#include "cli/selection.h"
#include "cli/signals.h"
#include "rheo/image.h"

namespace rheo::cli {

namespace {

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// An exponential average over about 20 values, less while there are fewer.
double smoothed(double old, double value, std::int64_t seen) {
  const double weight = std::max(0.05, 1 / static_cast<double>(seen));
  return old + weight * (value - old);
}

}  // namespace

Training::Training(Trainer& trainer, const RunDirectory& run, const Dataset* test,
                   const Routine& routine, bool resumed, ProgressLine& progress)
    : trainer_(trainer),
      config_(trainer.model().config()),
      run_(run),
      test_(test),
      routine_(routine),
      progress_(progress),
      metrics_(run.metrics_path()),
      past_(cut_metrics()),
      first_step_(trainer.steps_done()) {
  progress_.set_items(items_of(config_));
  if (resumed) {
    saved_step_ = first_step_;
    // A run that was killed after a test may not have come to what follows one.
    if (run.has(past_.best_step)) run.link("best", past_.best_step);
    run.prune(routine.keep);
    mend_rollback();
    if (past_.updates < first_step_)
      progress.note(fmt::format("{}: ends with update {}; lines up to {} are missing",
                                run.metrics_path(), past_.updates, first_step_));
  }
  validated_step_ = past_.tested;
}

Metrics::Past Training::cut_metrics() {
  return metrics_.cut_after(trainer_.steps_done(),
                            [this](std::int64_t step) { return run_.has(step); });
}

/// A signal may have ended the run between an update and what was due after it.
void Training::catch_up() {
  if (first_step_ == 0 || past_.finished == first_step_) return;
  if (due(routine_.validate_every) && validated_step_ != first_step_) validate();
  if (due(routine_.sample_every) && !run_.has_samples(first_step_)) sample();
}

int Training::run() {
  try {
    catch_up();
    while (!finished()) {
      if (!update()) continue;
      if (due(routine_.validate_every)) validate();
      if (due(routine_.sample_every)) sample();
      if (due(routine_.save_every)) save_if_sound();
      if (refusals_ > 1) go_back(refused_);
    }
    if (!stop_requested()) finish();
  } catch (const Stopped&) {
    // A test or a picture was cut short; the weights are those after the last update.
  } catch (const Error& error) {
    if (error.code() != Errc::diverged || saved_step_ < 0) throw;
    fail(Errc::diverged, "{}{}; the last checkpoint is {}", error.what(),
         trainer_.rollbacks() > 0 ? "; the run has gone back to a checkpoint once already" : "",
         run_.checkpoint(saved_step_));
  }
  if (stop_requested()) return stopped();
  save();
  return kDone;
}

Loss Training::loss_of(const Score& score) const {
  return cli::loss_of(score, config_);
}

bool Training::finished() const {
  const bool out_of_time = routine_.minutes > 0 && elapsed() >= 60 * routine_.minutes;
  return stop_requested() || out_of_time || trainer_.steps_done() >= routine_.updates;
}

double Training::elapsed() const {
  return seconds_between(start_, Clock::now());
}

double Training::fraction_done() const {
  const auto done = static_cast<double>(trainer_.steps_done() - first_step_);
  const auto all = static_cast<double>(routine_.updates - first_step_);
  const double by_updates = all > 0 ? done / all : 1;
  return routine_.minutes > 0 ? std::max(by_updates, elapsed() / 60 / routine_.minutes)
                              : by_updates;
}

bool Training::due(std::int64_t every) const {
  return every > 0 && trainer_.steps_done() % every == 0;
}

bool Training::update() {
  const auto before = Clock::now();
  StepReport report;
  try {
    report = trainer_.step();
  } catch (const Error& error) {
    if (error.code() != Errc::diverged) throw;
    go_back(words_of(error));
    return false;
  }
  keep_record(report, seconds_between(before, Clock::now()));
  if (progress_.due()) show(fraction_done());
  return true;
}

void Training::keep_record(const StepReport& report, double seconds) {
  const auto images = static_cast<double>(trainer_.options().batch) * trainer_.options().accumulate;
  const std::int64_t seen = report.step - first_step_;
  items_per_s_ = smoothed(items_per_s_, images / seconds, seen);
  skipped_ = report.skipped_total;
  const Loss loss = loss_of({.bits_per_dim = report.bits_per_dim, .nats = report.nats});
  if (!report.skipped) loss_ = smoothed(loss_.value_or(loss.mean), loss.mean, seen);
  metrics_.append({{"step", report.step},
                   {"time", past_.time + elapsed()},
                   {"split", "train"},
                   {loss.key, loss.mean},
                   {"gradient_norm", report.gradient_norm},
                   {"learning_rate", report.learning_rate},
                   {"images", report.images},
                   {"images_per_s", images / seconds},
                   {"skipped", report.skipped}});
}

void Training::show(double fraction) {
  const double left = fraction > 0 ? elapsed() * (1 - fraction) / fraction : 0;
  progress_.update(
      fmt::format("{}/{}  {}  {:.0f} {}/s  {}, ETA {}{}", trainer_.steps_done(), routine_.updates,
                  loss_ ? fmt::format("{:.3f} {}", *loss_, loss_of({}).unit) : "no loss yet",
                  items_per_s_, items_of(config_), clock_time(elapsed()), clock_time(left),
                  skipped_ ? fmt::format("  {} skipped", skipped_) : ""),
      fraction);
}

Score Training::test_score(std::int64_t images, bool last) {
  const bool part = images > 0 && images < test_->size();
  const Score result = part ? score(trainer_.model(), pick(*test_, spread(images, test_->size())),
                                    Noise::uniform(0), stoppable(progress_.count("testing")))
                            : score(trainer_.model(), *test_, Noise::uniform(0),
                                    stoppable(progress_.count("testing")));
  const Loss loss = loss_of(result);
  nlohmann::ordered_json line = {{"step", trainer_.steps_done()},
                                 {"time", past_.time + elapsed()},
                                 {"split", "test"},
                                 {loss.key, loss.mean},
                                 {"standard_error", loss.standard_error},
                                 {"images", result.images}};
  if (last) line["final"] = true;
  metrics_.append(line);
  return result;
}

void Training::validate() {
  validated_step_ = trainer_.steps_done();
  if (!test_) return;
  Score result;
  try {
    result = test_score(routine_.validate_images, false);
  } catch (const Error& error) {
    // One image may be too much for weights that training still mends, or goes back from.
    if (error.code() != Errc::diverged) throw;
    progress_.note(
        fmt::format("{}/{}  no test: {}", validated_step_, routine_.updates, words_of(error)));
    return;
  }
  const Loss loss = loss_of(result);
  progress_.note(fmt::format("{}/{}  test {:.4f} {} (standard error {:.4f}, {})", validated_step_,
                             routine_.updates, loss.mean, loss.unit, loss.standard_error,
                             count_of(result.images, items_of(*test_))));
  if (past_.best && loss.mean >= *past_.best) return;
  if (!save_if_sound()) return;
  past_.best = loss.mean;
  run_.link("best", validated_step_);
  run_.prune(routine_.keep);  // the one that was best until here
}

void Training::sample() {
  SampleOptions options;
  options.seed = trainer_.options().seed;
  options.temperature = routine_.sample_temperature;
  if (config_.classes)
    for (int i = 0; i < routine_.samples; ++i) options.labels.push_back(i % config_.classes);
  try {
    const Tensor x =
        trainer_.model().sample(routine_.samples, options, stoppable(progress_.count("sampling")));
    if (config_.is_vector()) return run_.save_samples(trainer_.steps_done(), x);
    const int columns = std::max(1, static_cast<int>(std::sqrt(routine_.samples)));
    run_.save_samples(trainer_.steps_done(), image_grid(quantize(x, config_.n_bits), columns));
  } catch (const Error& error) {
    // A young model may not be able to draw; its training goes on.
    if (error.code() != Errc::diverged) throw;
    progress_.note(fmt::format("{}/{}  no samples: {}", trainer_.steps_done(), routine_.updates,
                               words_of(error)));
  }
}

void Training::save() {
  if (saved_step_ == trainer_.steps_done()) return;
  metrics_.sync();  // a checkpoint must not know of updates that the metrics lack
  run_.save(trainer_);
  saved_step_ = trainer_.steps_done();
  run_.prune(routine_.keep);
}

void Training::finish() {
  const std::int64_t step = trainer_.steps_done();
  if (past_.finished == step) {
    progress_.note(fmt::format("nothing to do: the run has had its {}; more with --updates",
                               count_of(step, "updates")));
    return;
  }
  if (validated_step_ != step && routine_.validate_every > 0) validate();
  save();
  if (!due(routine_.sample_every)) sample();
  std::string text =
      fmt::format("done: {} in {}", count_of(step, "updates"), clock_time(past_.time + elapsed()));
  if (loss_) text += fmt::format(", training {:.4f} {}", *loss_, loss_of({}).unit);
  if (test_) {
    const Score result = test_score(0, true);
    const Loss loss = loss_of(result);
    text += fmt::format(", test {:.4f} (standard error {:.4f}, {})", loss.mean, loss.standard_error,
                        count_of(result.images, items_of(*test_)));
  }
  metrics_.sync();
  progress_.note(text);
  progress_.note(fmt::format("model: {}/checkpoints/last/model.safetensors", run_.path()));
}

int Training::stopped() {
  const int signal = stop_requested();
  const std::int64_t step = trainer_.steps_done();
  // What is not saved is made again, the same, by the run that is resumed.
  const bool saved = saved_step_ == step || save_if_sound();
  progress_.note(fmt::format(
      "stopped by a signal after update {}: {}; go on with --resume", step,
      saved             ? "saved in " + run_.checkpoint(step)
      : saved_step_ < 0 ? "nothing is saved"
                        : "it is not saved, the last that is: " + run_.checkpoint(saved_step_)));
  return kSignal + signal;
}

}  // namespace rheo::cli
