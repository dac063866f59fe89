#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "rheo/image.h"
#include "rheo/model.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct DecodeCommand {
  std::string model;
  std::string latents;
  std::string labels;
  std::string output;
  std::int64_t columns = 0;
  std::optional<int> steps_done;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  void write(const Tensor& x, const ModelConfig& config, const std::string& ending) const;
};

Tensor read_latents(const std::string& path, const ModelConfig& config) {
  NpyArray array = read_npy(path);
  std::optional<Tensor> latents = floats_in(array);
  if (!latents)
    fail(Errc::bad_file, "{}: latents must be float32 or float64; got {}", path, type_name(array));
  const Shape& shape = latents->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] != config.dims())
    fail(Errc::bad_file, "{}: latents must be [N, {}] with N > 0, as the model has them; got [{}]",
         path, config.dims(), fmt::join(shape, ", "));
  const auto bad = std::find_if_not(latents->data.begin(), latents->data.end(),
                                    [](float value) { return std::isfinite(value); });
  if (bad != latents->data.end())
    fail(Errc::bad_file, "{}: every value must be finite; got {} in row {}", path, *bad,
         (bad - latents->data.begin()) / config.dims());
  return std::move(*latents);
}

void DecodeCommand::write(const Tensor& x, const ModelConfig& config,
                          const std::string& ending) const {
  if (ending == "npy")
    write_npy(output, x);
  else
    write_grid(output, quantize(x, config.n_bits), columns);
}

int DecodeCommand::run() {
  const std::string ending = require_output(output, {"npy", "png"});
  Model loaded = Model::load(model, make_compute(compute, Work::exact));
  const ModelConfig& config = loaded.config();
  if (config.is_vector()) require_npy(output, ending);
  require_picture(config, columns);
  require_steps(config, steps_done);
  progress.set_items(items_of(config));
  const Tensor eps = read_latents(latents, config);
  Labels classes;
  if (!labels.empty()) classes = read_labels_for(config, labels, eps.shape[0]);
  require_labels(config, classes, latents);
  const Progress told = progress.count("decoded");
  write(
      steps_done ? loaded.decode_steps(eps, *steps_done, told) : loaded.decode(eps, classes, told),
      config, ending);
  progress.note(fmt::format("{}: {}", output, count_of(eps.shape[0], items_of(config))));
  return kDone;
}

}  // namespace

Run add_decode(CLI::App& app) {
  auto command = std::make_shared<DecodeCommand>();
  add_model_flag(app, command->model);
  app.add_option("--latents", command->latents,
                 "What encode wrote: .npy, float32 [N, D]; or float64")
      ->required();
  app.add_option("--labels", command->labels, "Classes of the images: .npy of integers, or IDX");
  app.add_option("--output", command->output,
                 "Images: .npy, float32 [N, H, W, C] from -0.5 to 0.5, or a grid of them as .png; "
                 "vectors: .npy, float32 [N, D]")
      ->required();
  app.add_option("--columns", command->columns, "Of a .png; 0: about a square")
      ->check(within(0, 1 << 20))
      ->capture_default_str();
  add_steps_flag(app, command->steps_done,
                 "Of vectors: undo only the last so many steps of the flow; 0 gives the state that "
                 "the latents stand for");
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
