#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/input.h"
#include "cli/loss.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "rheo/model.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct ScoreCommand {
  std::string model;
  std::string output;
  bool json = false;
  InputFlags input;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  std::vector<double> log_prob(Model& model, const Input& input);
  void show(const Score& score, const ModelConfig& config) const;
};

std::vector<double> ScoreCommand::log_prob(Model& model, const Input& input) {
  std::vector<double> all;
  for (std::int64_t first = 0; first < input.size(); first += input.part()) {
    const std::int64_t count = std::min(input.part(), input.size() - first);
    const auto part = model.log_prob(input.images(first, count), input.labels(first, count),
                                     progress.count("scored", first, input.size()));
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

void ScoreCommand::show(const Score& score, const ModelConfig& config) const {
  const Loss loss = loss_of(score, config);
  if (json) {
    print(text_of_json(nlohmann::json{{loss.key, loss.mean},
                                      {"standard_error", loss.standard_error},
                                      {items_of(config), score.images},
                                      {"model", model}}));
  } else {
    print(fmt::format("{:.4f} {}, standard error {:.4f}, {}\n", loss.mean, loss.unit,
                      loss.standard_error, count_of(score.images, items_of(config))));
  }
}

int ScoreCommand::run() {
  if (!output.empty()) require_output(output, {"npy"});
  Model loaded = Model::load(model, make_compute(compute, Work::exact));
  progress.set_items(items_of(loaded.config()));
  const Input source(input, loaded.config(), progress);
  const std::vector<double> scores = log_prob(loaded, source);
  if (!output.empty()) write_npy(output, Array<double>{{source.size()}, scores});
  progress.note(fmt::format("scored on {}", description(loaded.compute())));
  show(mean_score(scores, loaded.config()), loaded.config());
  return kDone;
}

}  // namespace

Run add_score(CLI::App& app) {
  auto command = std::make_shared<ScoreCommand>();
  add_model_flag(app, command->model);
  add_input_flags(app, command->input);
  app.add_option("--output", command->output,
                 "log p of each image or vector in nats: .npy, float64 [N]");
  app.add_flag("--json", command->json, "Print the result as JSON");
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
