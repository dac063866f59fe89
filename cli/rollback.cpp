// What a run does about a model that diverged: it is not saved, and once the run goes back.

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/training.h"
#include "rheo/error.h"

namespace rheo::cli {

bool Training::save_if_sound() {
  // After a skipped update nothing is new, and the weights are in doubt.
  if (trainer_.last_update() < trainer_.steps_done()) return false;
  try {
    save();
    refusals_ = 0;
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::diverged) throw;
    const std::int64_t step = trainer_.steps_done();
    if (refused_step_ != step) ++refusals_;
    refused_step_ = step, refused_ = error.what();
    progress_.note(fmt::format("{}/{}  {}", step, routine_.updates, refused_));
    return false;
  }
}

void Training::go_back(const std::string& reason) {
  const std::int64_t from = trainer_.steps_done();
  std::vector<std::int64_t> damaged;
  const auto steps = trainer_.rollbacks() > 0 ? std::vector<std::int64_t>() : run_.steps();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (*step >= trainer_.last_update()) continue;  // the weights that failed
    try {
      trainer_.roll_back(run_.checkpoint(*step));
    } catch (const Error& error) {
      if (error.code() != Errc::bad_file) throw;
      progress_.note(error.what());
      damaged.push_back(*step);
      continue;
    }
    return gone_back(from, reason, damaged);
  }
  throw Error(Errc::diverged, reason);
}

/// The checkpoint is saved anew, for its state to tell that the run went back to it: a run that is
/// resumed from there, or killed on the way here and resumed, makes the same updates as this one.
void Training::gone_back(std::int64_t from, const std::string& reason,
                         const std::vector<std::int64_t>& damaged) {
  const std::int64_t step = trainer_.steps_done();
  run_.save(trainer_);
  for (const std::int64_t worse : damaged) run_.set_aside(worse);
  run_.remove_after(step);
  const double time = past_.time;
  past_ = cut_metrics();
  past_.time = time;
  if (run_.has(past_.best_step)) run_.link("best", past_.best_step);
  metrics_.append({{"step", step},
                   {"time", past_.time + elapsed()},
                   {"split", "rollback"},
                   {"from", from},
                   {"reason", reason}});
  metrics_.sync();
  saved_step_ = step, validated_step_ = past_.tested, refusals_ = 0;
  first_step_ = std::min(first_step_, step);
  progress_.note(fmt::format("{}/{}  {}", from, routine_.updates, reason));
  progress_.note(fmt::format("{}/{}  back to this checkpoint, on with half the learning rate", step,
                             routine_.updates));
}

/// A run that was killed after it went back, before that line was written: what is known of it.
void Training::mend_rollback() {
  if (past_.rollbacks >= trainer_.rollbacks()) return;
  metrics_.append({{"step", first_step_}, {"time", past_.time}, {"split", "rollback"}});
  metrics_.sync();
}

}  // namespace rheo::cli
