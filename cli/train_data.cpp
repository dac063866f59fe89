#include "cli/train_data.h"

#include <CLI/App.hpp>

#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/selection.h"
#include "cli/signals.h"
#include "rheo/trainer.h"

namespace rheo::cli {

namespace {

constexpr int kMostLevels = 20;  // more, and what is no number, is for the library to refuse

/// A toy's other points than those of DATA.
ToyFlags test_toy(const TrainData& flags) {
  if (!is_toy(flags.test)) return {};
  ToyFlags toy = flags.data.toy;
  toy.seed = toy.seed.value_or(0) + 1;
  return toy;
}

Dataset open_test(const TrainData& flags, const Dataset& train, const Progress& progress) {
  DataFlags test_flags;
  test_flags.path = flags.test, test_flags.fit = flags.data.fit;
  test_flags.labels = flags.test_labels;
  test_flags.max_pixels = flags.data.max_pixels;
  test_flags.toy = test_toy(flags);
  if (!train.is_points() && !is_toy(flags.test))
    test_flags.height = train.height(), test_flags.width = train.width();
  Dataset test = open_data(test_flags, progress);
  if (test.is_points() != train.is_points())
    fail(Errc::invalid_argument, "{}: must hold {}, as {} does; got {}", flags.test,
         items_of(train), flags.data.path, items_of(test));
  if (test.is_points() && test.dims() != train.dims())
    fail(Errc::invalid_argument, "{}: vectors must have {} numbers, as {} has; got {}", flags.test,
         train.dims(), flags.data.path, test.dims());
  if (test.channels() != train.channels())
    fail(Errc::invalid_argument, "{}: images must have {} channels, as {} has; got {}", flags.test,
         train.channels(), flags.data.path, test.channels());
  return test;
}

/// In the words of the command line; the library would tell of the configuration.
void check_levels(const std::string& path, const Json& model, const Dataset& data) {
  if (data.is_points()) return;
  const Json& levels = model.at("levels");
  if (!levels.is_number_integer() || levels < 1 || levels > kMostLevels) return;
  const int unit = 1 << levels.get<int>();
  const auto up = [&](int extent) { return (extent + unit - 1) / unit * unit; };
  if (data.height() % unit || data.width() % unit)
    fail(Errc::invalid_argument,
         "{}: height and width must be multiples of {} for --levels {}; got {}x{}: use fewer "
         "levels, or --pad --size {}x{}",
         path, unit, levels.get<int>(), data.height(), data.width(), up(data.height()),
         up(data.width()));
}

void check_classes(const std::string& path, const std::string& labels, const char* flag,
                   const ModelConfig& config, const Dataset& data) {
  if (config.classes && data.labels().empty())
    fail(Errc::invalid_argument,
         "{}: has no labels, and a model with {} classes needs them; give {}", path, config.classes,
         flag);
  require_classes(config, labels.empty() ? path : labels, data);
}

/// Puts one extent of the data into `model`; one that is fixed must be the same.
void set_extent(const std::string& path, const char* key, std::int64_t extent, const char* items,
                const Json& fixed, Json& model) {
  if (fixed.contains(key) && fixed[key] != extent)
    fail(Errc::invalid_argument, "{}: {} of {} must be {}, as configured; got {}", path, key, items,
         fixed[key].dump(), extent);
  model[key] = extent;
}

void set_extents(const std::string& path, const Dataset& data, const Json& fixed, Json& model) {
  const bool for_images = fixed.contains("height") || fixed.contains("levels");
  if (data.is_points() ? for_images : fixed.contains("dims"))
    fail(Errc::invalid_argument, "{}: must hold {}, as configured; got {}", path,
         for_images ? "images" : "vectors", items_of(data));
  const auto set = [&](const char* key, std::int64_t extent) {
    set_extent(path, key, extent, items_of(data), fixed, model);
  };
  if (data.is_points()) return set("dims", data.dims());
  set("height", data.height()), set("width", data.width()), set("channels", data.channels());
}

}  // namespace

Json model_defaults(const std::string& path, const Dataset& data, const Json& said) {
  const Json family =
      said.contains("model") ? said["model"] : Json(data.is_points() ? "realnvp" : "glow");
  const bool of_vectors_alone = family == "nice" || family == "maf" || family == "iaf";
  if (data.is_points() && family == "glow")
    fail(Errc::invalid_argument,
         "{}: must hold images for a glow; got vectors: use --model realnvp, nice, maf or iaf",
         path);
  if (!data.is_points() && of_vectors_alone)
    fail(Errc::invalid_argument,
         "{}: must hold vectors for --model {}; got images: use --model glow or realnvp", path,
         family.get<std::string>());
  const ModelConfig glow;
  if (family == "glow") return Json::parse(glow.to_json());
  Json least = {{"model", family}};
  if (data.is_points())
    least["dims"] = data.dims();
  else
    least.update({{"height", glow.height},
                  {"width", glow.width},
                  {"channels", glow.channels},
                  {"levels", glow.levels}});
  return Json::parse(ModelConfig::from_json(least.dump()).to_json());
}

Json train_defaults(const Dataset& data) {
  TrainOptions options;
  if (data.is_points()) {
    options.steps = 3000, options.batch = 512;
    options.optimizer = Optimizer::adam, options.warmup_images = 0;
    options.schedule = Schedule::cosine;  // at a constant rate the last updates decide by chance
  }
  return Json::parse(options.to_json());
}

void require_known_to_model(const CLI::App& app, const std::string& who, const Json& said,
                            const Json& defaults) {
  for (const auto& [key, value] : said.items())
    if (!defaults.contains(key))
      fail(Errc::invalid_argument, "{}: {} on {} has no {}; leave it out",
           said_by(app, model_settings(), key, who), defaults["model"].get<std::string>(),
           defaults.contains("dims") ? "vectors" : "images", key);
}

OpenedData open_train_data(const TrainData& flags, ProgressLine& progress) {
  const Progress reading = stoppable(progress.count("reading"));
  OpenedData opened{open_data(flags.data, reading), {}, 0, {}};
  const Dataset& all = opened.train;
  opened.classes = all.classes(), opened.labels_file = all.labels_file();
  if (!flags.test.empty()) opened.test = open_test(flags, all, reading);
  if (flags.held_out == 0) return opened;
  if (flags.held_out >= all.size())
    fail(Errc::invalid_argument, "--held-out must be below {}, the {} of {}; got {}", all.size(),
         items_of(all), flags.data.path, flags.held_out);
  const auto held_out = spread(flags.held_out, all.size());
  opened.test = pick(all, held_out);
  opened.train = leave_out(all, held_out);
  return opened;
}

ModelConfig model_for(const TrainData& flags, const OpenedData& data, Json model, const Json& fixed,
                      bool conditional) {
  const std::string& path = flags.data.path;
  set_extents(path, data.train, fixed, model);
  if (conditional && data.classes == 0)
    fail(Errc::invalid_argument, "{}: has no classes, and --conditional needs them; give --labels",
         path);
  if (conditional && !fixed.contains("classes")) model["classes"] = data.classes;
  check_levels(path, model, data.train);
  const ModelConfig config = ModelConfig::from_json(model.dump());
  for (const std::string& labels : {flags.data.labels, flags.test_labels})
    if (config.classes == 0 && !labels.empty())
      fail(Errc::invalid_argument,
           "{}: the model has no classes that its labels could go to; give --conditional, or leave "
           "them out",
           labels);
  check_classes(path, data.labels_file, "--labels", config, data.train);
  if (!data.test) return config;
  if (flags.test.empty())
    check_classes(path, data.labels_file, "--labels", config, *data.test);
  else
    check_classes(flags.test, data.test->labels_file(),
                  "--test-labels, or test on some of DATA by --held-out", config, *data.test);
  return config;
}

}  // namespace rheo::cli
