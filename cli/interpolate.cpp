#include <CLI/App.hpp>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/selection.h"
#include "rheo/image.h"
#include "rheo/model.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct InterpolateCommand {
  std::string model;
  std::string output;
  DataFlags data;
  int pairs = 8;
  int steps = 8;
  std::optional<std::int64_t> from;
  std::optional<std::int64_t> to;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  std::vector<std::int64_t> ends(std::int64_t images) const;
};

/// Indices of the first images of all pairs, then of the last ones: the halves of the data are
/// walked side by side, so that sorted data pair different classes.
std::vector<std::int64_t> InterpolateCommand::ends(std::int64_t images) const {
  if (from) {
    for (const auto& [option, index] : {std::pair{"--from", *from}, {"--to", *to}})
      if (index < 0 || index >= images)
        fail(Errc::invalid_argument, "{} must be from 0 to {}, the last of DATA; got {}", option,
             images - 1, index);
    return {*from, *to};
  }
  const std::int64_t half = images / 2;
  if (pairs > half)
    fail(Errc::invalid_argument, "--pairs must be at most {}, half of what {} holds; got {}", half,
         data.path, pairs);
  std::vector<std::int64_t> indices = spread(pairs, half);
  for (int p = 0; p < pairs; ++p) indices.push_back(half + indices[static_cast<std::size_t>(p)]);
  return indices;
}

/// Row by row from eps[p] to eps[pairs + p] in `steps` even steps, both ends among them.
Tensor lines_between(const Tensor& eps, std::int64_t steps) {
  const std::int64_t pairs = eps.shape[0] / 2, dims = eps.shape[1];
  Tensor lines{{pairs * steps, dims}, {}};
  lines.data.reserve(static_cast<std::size_t>(pairs * steps * dims));
  for (std::int64_t p = 0; p < pairs; ++p)
    for (std::int64_t k = 0; k < steps; ++k) {
      const float t = static_cast<float>(k) / static_cast<float>(steps - 1);
      const float* a = eps.data.data() + p * dims;
      const float* b = eps.data.data() + (pairs + p) * dims;
      for (std::int64_t d = 0; d < dims; ++d) lines.data.push_back((1 - t) * a[d] + t * b[d]);
    }
  return lines;
}

/// The class of the nearer end: there is nothing between two classes.
Labels labels_between(const Labels& labels, std::int64_t steps) {
  Labels nearer;
  const std::size_t pairs = labels.size() / 2;
  for (std::size_t p = 0; p < pairs; ++p)
    for (std::int64_t k = 0; k < steps; ++k)
      nearer.push_back(labels[2 * k < steps ? p : pairs + p]);
  return nearer;
}

int InterpolateCommand::run() {
  if (data.path.empty()) misuse("DATA", "is required");
  const std::string ending = require_output(output, {"png", "npy"});
  Model loaded = Model::load(model, make_compute(compute, Work::exact));
  const ModelConfig& config = loaded.config();
  if (config.is_vector()) require_npy(output, ending);
  if (!config.is_vector() && ending == "npy")
    fail(Errc::invalid_argument, "--output {}: must end in .png, for the model makes images",
         output);
  progress.set_items(items_of(config));
  const Dataset all = open_data_for(config, data, progress.count("reading"));
  const Dataset chosen = pick(all, ends(all.size()));
  const Labels labels = config.classes ? chosen.labels() : Labels{};
  require_labels(config, labels, data.path);
  const Tensor x = chosen.is_points()
                       ? chosen.points()
                       : dequantize(chosen.images(), config.n_bits, Noise::at_centre());
  const Tensor lines = lines_between(loaded.encode(x, labels), steps);
  Tensor between = loaded.decode(lines, labels_between(labels, steps), progress.count("decoded"));
  if (config.is_vector()) {
    between.shape = {chosen.size() / 2, steps, config.dims()};
    write_npy(output, between);
  } else {
    write_grid(output, quantize(between, config.n_bits), steps);
  }
  progress.note(fmt::format("{}: {} of {}", output, count_of(chosen.size() / 2, "rows"), steps));
  return kDone;
}

}  // namespace

Run add_interpolate(CLI::App& app) {
  auto command = std::make_shared<InterpolateCommand>();
  add_model_flag(app, command->model);
  add_data_flags(app, command->data);
  app.add_option("--output", command->output,
                 "A .png with a row for each pair: straight lines between their latents; of "
                 "vectors an .npy, float32 [pairs, steps, D]")
      ->required();
  auto* pairs = app.add_option("--pairs", command->pairs, "Pairs, spread over the data")
                    ->check(within(1, 1 << 16))
                    ->capture_default_str();
  app.add_option("--steps", command->steps, "Images of a row, both ends included")
      ->check(within(2, 1 << 10))
      ->capture_default_str();
  auto* from = app.add_option("--from", command->from, "One pair: index of its first image");
  auto* to = app.add_option("--to", command->to, "and of its last");
  from->needs(to)->excludes(pairs);
  to->needs(from)->excludes(pairs);
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
