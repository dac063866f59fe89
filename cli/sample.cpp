#include <unistd.h>

#include <CLI/App.hpp>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "rheo/image.h"
#include "rheo/model.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct SampleCommand {
  std::string model;
  std::string output;
  std::int64_t count = 64;
  std::int64_t columns = 0;
  std::optional<int> label;
  SampleOptions options;
  ComputeFlags compute;
  ProgressLine progress;

  int run();
  Labels labels(const ModelConfig& config) const;
  void write(const Tensor& x, const ModelConfig& config, const std::string& ending) const;
};

/// Of a value: as x, as a pixel, and in the output.
constexpr double kBytes = sizeof(float) + 2 * sizeof(std::uint8_t);

/// The system lends memory that it does not have and then ends the program, so ask first.
void require_memory(std::int64_t count, std::int64_t dims) {
  const double needed = kBytes * static_cast<double>(count) * static_cast<double>(dims);
  const double there =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed > there)
    fail(Errc::out_of_memory,
         "--count {}: needs {:.1f} GiB at once, and this machine has {:.1f}; draw fewer", count,
         needed / (1 << 30), there / (1 << 30));
}

Labels SampleCommand::labels(const ModelConfig& config) const {
  if (label && config.classes == 0)
    fail(Errc::invalid_argument, "--class {}: the model has no classes; leave it out", *label);
  if (label && (*label < 0 || *label >= config.classes))
    fail(Errc::invalid_argument, "--class must be from 0 to {}, the model's last; got {}",
         config.classes - 1, *label);
  if (label) return {*label};
  Labels cycle;
  if (config.classes)
    for (std::int64_t i = 0; i < count; ++i) cycle.push_back(static_cast<int>(i % config.classes));
  return cycle;
}

void SampleCommand::write(const Tensor& x, const ModelConfig& config,
                          const std::string& ending) const {
  if (config.is_vector()) return write_npy(output, x);
  const Pixels images = quantize(x, config.n_bits);
  // A column for each class, where that makes a picture of bearable shape.
  const bool by_class = !label && config.classes > 1 && config.classes <= 32;
  if (ending == "npy")
    write_npy(output, images);
  else
    write_grid(output, images, columns ? columns : by_class ? config.classes : 0);
}

int SampleCommand::run() {
  const std::string ending = require_output(output, {"png", "npy"});
  Model loaded = Model::load(model, make_compute(compute, Work::fast));
  const ModelConfig& config = loaded.config();
  if (config.is_vector()) require_npy(output, ending);
  require_picture(config, columns);
  progress.set_items(items_of(config));
  require_memory(count, config.dims());
  options.labels = labels(config);
  write(loaded.sample(count, options, progress.count("sampled")), config, ending);
  progress.note(fmt::format("{}: {}, drawn on {}", output, count_of(count, items_of(config)),
                            description(loaded.compute())));
  return kDone;
}

}  // namespace

Run add_sample(CLI::App& app) {
  auto command = std::make_shared<SampleCommand>();
  SampleOptions& options = command->options;
  add_model_flag(app, command->model);
  app.add_option("--output", command->output,
                 "A grid as .png, or .npy of uint8 pixels [N, H, W, C]; vectors: .npy, float32 "
                 "[N, D]")
      ->required();
  app.add_option("--count", command->count, "Images or vectors")
      ->check(within(1, 1e15))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of the noise that they are made from")
      ->check(within(0, kLargestSeed))
      ->capture_default_str();
  app.add_option("--first", options.first,
                 "Index of the first image, which with the seed decides its noise")
      ->check(within(0, 1e15))
      ->capture_default_str();
  app.add_option("--temperature", options.temperature, "Standard deviation of the noise")
      ->check(within(0., 100.))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Images at once; 0: chosen to fit")
      ->check(within(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--class", command->label, "Of every image; else each class in turn");
  app.add_option("--columns", command->columns, "Of a .png; 0: about a square, or the classes")
      ->check(within(0, 1 << 20))
      ->capture_default_str();
  add_compute_flags(app, command->compute);
  command->progress.add_flag(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
