#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

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

struct ReconstructCommand {
  std::string model;
  std::string output;
  DataFlags data;
  NoiseFlags noise{.usual = "centre"};
  std::int64_t count = 16;
  std::int64_t columns = 0;
  bool json = false;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  void show(std::int64_t exact, std::int64_t values) const;
  void run_vectors(Model& model, const Dataset& chosen);
  void run_images(Model& model, const Dataset& chosen, const Labels& labels);
};

constexpr std::uint8_t kWhite = 255;  // fills what is left of the last rows

/// Rows of originals, each with its reconstructions below.
Pixels originals_above(const Pixels& originals, const Pixels& copies, std::int64_t columns) {
  const std::int64_t n = originals.shape[0], rows = (n + columns - 1) / columns;
  const auto one = static_cast<std::int64_t>(originals.data.size()) / n;
  Pixels sheet{originals.shape, {}};
  sheet.shape[0] = 2 * rows * columns;
  sheet.data.assign(static_cast<std::size_t>(sheet.shape[0] * one), kWhite);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t above = 2 * (i / columns) * columns + i % columns;
    std::copy_n(originals.data.begin() + i * one, one, sheet.data.begin() + above * one);
    std::copy_n(copies.data.begin() + i * one, one, sheet.data.begin() + (above + columns) * one);
  }
  return sheet;
}

void ReconstructCommand::show(std::int64_t exact, std::int64_t values) const {
  if (json)
    print(text_of_json(nlohmann::json{{"exact", exact}, {"pixels", values}, {"images", count}}));
  else
    print(fmt::format("{} of {} pixel values exact in {}\n", exact, values,
                      count_of(count, "images")));
}

/// No number comes back to the last bit; the largest difference is what counts.
void ReconstructCommand::run_vectors(Model& model, const Dataset& chosen) {
  const Tensor& x = chosen.points();
  const Tensor copies =
      model.decode(model.encode(x, {}, progress.count("encoded")), {}, progress.count("decoded"));
  double most = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i)
    most = std::max<double>(most, std::abs(copies.data[i] - x.data[i]));
  if (!output.empty()) write_npy(output, copies);
  progress.clear();
  if (json)
    print(text_of_json(nlohmann::json{{"largest_difference", most}, {"vectors", count}}));
  else
    print(fmt::format("largest difference {:.3g} in {}\n", most, count_of(count, "vectors")));
}

void ReconstructCommand::run_images(Model& model, const Dataset& chosen, const Labels& labels) {
  const int n_bits = model.config().n_bits;
  const Tensor x = dequantize(chosen.images(), n_bits, make_noise(noise));
  const Pixels originals = quantize(x, n_bits);  // without the bits that the model drops
  const Tensor latents = model.encode(x, labels, progress.count("encoded"));
  const Pixels copies = quantize(model.decode(latents, labels, progress.count("decoded")), n_bits);
  std::int64_t exact = 0;
  for (std::size_t i = 0; i < copies.data.size(); ++i) exact += copies.data[i] == originals.data[i];
  if (!output.empty()) {
    const std::int64_t across = columns ? columns : std::min<std::int64_t>(count, 8);
    write_grid(output, originals_above(originals, copies, across), across);
  }
  progress.clear();
  show(exact, static_cast<std::int64_t>(copies.data.size()));
}

int ReconstructCommand::run() {
  if (data.path.empty()) misuse("DATA", "is required");
  const std::string ending = output.empty() ? "" : require_output(output, {"png", "npy"});
  Model loaded = Model::load(model, make_compute(compute, Work::exact));
  const ModelConfig& config = loaded.config();
  if (config.is_vector() && !ending.empty()) require_npy(output, ending);
  if (!config.is_vector() && ending == "npy")
    fail(Errc::invalid_argument, "--output {}: must end in .png, for the model makes images",
         output);
  require_picture(config, columns);
  require_pixels(config, noise);
  progress.set_items(items_of(config));
  const Dataset all = open_data_for(config, data, progress.count("reading"));
  count = std::min(count, all.size());
  const Dataset chosen = pick(all, spread(count, all.size()));
  const Labels labels = config.classes ? chosen.labels() : Labels{};
  require_labels(config, labels, data.path);
  if (config.is_vector())
    run_vectors(loaded, chosen);
  else
    run_images(loaded, chosen, labels);
  return kDone;
}

}  // namespace

Run add_reconstruct(CLI::App& app) {
  auto command = std::make_shared<ReconstructCommand>();
  add_model_flag(app, command->model);
  add_data_flags(app, command->data);
  app.add_option("--output", command->output,
                 "A .png: originals above their reconstructions; of vectors an .npy "
                 "of the reconstructions, float32 [N, D]");
  app.add_option("--count", command->count,
                 "Images or vectors, spread over the data; at most all of them")
      ->check(within(1, 1e15))
      ->capture_default_str();
  app.add_option("--columns", command->columns, "Of the .png; 0: up to 8")
      ->check(within(0, 1 << 20))
      ->capture_default_str();
  add_noise_flags(app, command->noise);
  app.add_flag("--json", command->json, "Print the result as JSON");
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
