#include <CLI/CLI.hpp>

#include "cli/metrics.h"
#include "cli/record.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {

namespace {

/// A command line without an option.
const CLI::App& no_options() {
  static const CLI::App* const app = [] {
    auto* const made = new CLI::App;
    for (const char* name : {"--device", "--threads", "--precision", "--memory", "--minutes",
                             "--save-every", "--keep", "--validate-every", "--validate-images",
                             "--sample-every", "--samples", "--sample-temperature"})
      made->add_flag(name);
    return made;
  }();
  return *app;
}

}  // namespace

/// A run's config.json as --resume reads it, but for its sections model and train, which are
/// targets of their own.
void record(Bytes input) {
  static MemoryFile memory;
  const std::string& path = memory.holding({input});
  expect_result_or_refusal([&] {
    const cli::Json config = cli::read_json(path);
    cli::TrainData data;
    cli::ComputeFlags compute;
    cli::Routine routine;
    cli::take_data_record(path, config, data);
    cli::take_compute_record(path, config, no_options(), compute);
    cli::take_routine_record(path, config, no_options(), routine);
  });
}

/// A run's metrics.jsonl as verify and --resume read it, which cuts it off after the newest
/// checkpoint.
void metrics(Bytes input) {
  static MemoryFile memory;
  const std::string& path = memory.holding({input});
  expect_result_or_refusal([&] { cli::check_metrics(path); });
  expect_result_or_refusal([&] {
    constexpr std::int64_t kStep = 100;
    cli::Metrics file(path);
    const auto has = [](std::int64_t step) { return step % 10 == 0; };
    const cli::Metrics::Past past = file.cut_after(kStep, has);
    require(past.updates <= kStep && past.best_step <= kStep && past.tested <= kStep,
            "a line after the checkpoint was kept");
    const cli::Metrics::Past again = file.cut_after(kStep, has);
    require(past.updates == again.updates && past.best == again.best &&
                past.rollbacks == again.rollbacks,
            "what was kept reads otherwise the second time");
  });
}

}  // namespace rheo::fuzz
