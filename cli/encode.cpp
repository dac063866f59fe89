#include <CLI/App.hpp>
#include <algorithm>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "rheo/model.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct EncodeCommand {
  std::string model;
  std::string output;
  std::optional<int> steps_done;
  InputFlags input;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  Tensor encoded(Model& model, const Input& source, std::int64_t first, std::int64_t count);
};

Tensor EncodeCommand::encoded(Model& model, const Input& source, std::int64_t first,
                              std::int64_t count) {
  const Progress told = progress.count("encoded", first, source.size());
  const Tensor x = source.images(first, count);
  return steps_done ? model.encode_steps(x, *steps_done, told)
                    : model.encode(x, source.labels(first, count), told);
}

int EncodeCommand::run() {
  require_output(output, {"npy"});
  Model loaded = Model::load(model, make_compute(compute, Work::exact));
  require_steps(loaded.config(), steps_done);
  progress.set_items(items_of(loaded.config()));
  const Input source(input, loaded.config(), progress);
  require_labels(loaded.config(), source.labels(0, source.size()), source.path());
  Tensor latents{{source.size(), loaded.config().dims()}, {}};
  latents.data.reserve(static_cast<std::size_t>(source.size() * loaded.config().dims()));
  for (std::int64_t first = 0; first < source.size(); first += source.part()) {
    const std::int64_t count = std::min(source.part(), source.size() - first);
    const Tensor part = encoded(loaded, source, first, count);
    latents.data.insert(latents.data.end(), part.data.begin(), part.data.end());
  }
  write_npy(output, latents);
  progress.note(fmt::format("{}: latents [{}, {}]", output, latents.shape[0], latents.shape[1]));
  return kDone;
}

}  // namespace

Run add_encode(CLI::App& app) {
  auto command = std::make_shared<EncodeCommand>();
  add_model_flag(app, command->model);
  add_input_flags(app, command->input);
  app.add_option("--output", command->output, "Latents: .npy, float32 [N, D]")->required();
  add_steps_flag(app, command->steps_done,
                 "Of vectors: stop after so many steps of the flow; 0 gives the data back");
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
