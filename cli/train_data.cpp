#include "cli/train_data.h"

#include <utility>

#include "cli/failure.h"
#include "cli/selection.h"
#include "cli/signals.h"

namespace rheo::cli {

namespace {

constexpr int kMostLevels = 20;  // more, and what is no number, is for the library to refuse

Dataset open_test(const TrainData& flags, const Dataset& train, const Progress& progress) {
  Dataset test =
      open_data({flags.test, train.height(), train.width(), flags.data.fit, ""}, progress);
  if (test.channels() != train.channels())
    fail(Errc::invalid_argument, "{}: images must have {} channels, as {} has; got {}", flags.test,
         train.channels(), flags.data.path, test.channels());
  return test;
}

/// In the words of the command line; the library would tell of the configuration.
void check_levels(const std::string& path, const Json& model, const Dataset& data) {
  const Json& levels = model.at("levels");
  if (!levels.is_number_integer() || levels < 1 || levels > kMostLevels) return;
  const int unit = 1 << levels.get<int>();
  if (data.height() % unit || data.width() % unit)
    fail(Errc::invalid_argument,
         "{}: height and width must be multiples of {} for --levels {}; got {}x{}: use fewer "
         "levels, or --pad and --size",
         path, unit, levels.get<int>(), data.height(), data.width());
}

void check_classes(const std::string& path, const ModelConfig& config, const Dataset& data) {
  if (config.classes && data.labels().empty())
    fail(Errc::invalid_argument, "{}: has no labels, and a model with {} classes needs them", path,
         config.classes);
  if (config.classes && data.classes() > config.classes)
    fail(Errc::invalid_argument, "{}: labels must be below {}, the model's classes; got {}", path,
         config.classes, data.classes() - 1);
}

}  // namespace

OpenedData open_train_data(const TrainData& flags, ProgressLine& progress) {
  const Progress reading = stoppable(progress.count("reading"));
  OpenedData opened{open_data(flags.data, reading), {}, 0};
  const Dataset& all = opened.train;
  opened.classes = all.classes();
  if (!flags.test.empty()) opened.test = open_test(flags, all, reading);
  if (flags.held_out == 0) return opened;
  if (flags.held_out >= all.size())
    fail(Errc::invalid_argument, "--held-out must be below {}, the images of {}; got {}",
         all.size(), flags.data.path, flags.held_out);
  const auto held_out = spread(flags.held_out, all.size());
  opened.test = pick(all, held_out);
  opened.train = leave_out(all, held_out);
  return opened;
}

ModelConfig model_for(const TrainData& flags, const OpenedData& data, Json model, const Json& fixed,
                      bool conditional) {
  const std::string& path = flags.data.path;
  for (const auto& [key, value] : {std::pair{"height", data.train.height()},
                                   {"width", data.train.width()},
                                   {"channels", data.train.channels()}}) {
    if (fixed.contains(key) && fixed[key] != value)
      fail(Errc::invalid_argument, "{}: {} of images must be {}, as configured; got {}", path, key,
           fixed[key].dump(), value);
    model[key] = value;
  }
  if (conditional && data.classes == 0)
    fail(Errc::invalid_argument, "{}: has no classes, and --conditional needs them", path);
  if (conditional && !fixed.contains("classes")) model["classes"] = data.classes;
  check_levels(path, model, data.train);
  const ModelConfig config = ModelConfig::from_json(model.dump());
  config.validate();
  check_classes(path, config, data.train);
  if (data.test) check_classes(flags.test.empty() ? path : flags.test, config, *data.test);
  return config;
}

}  // namespace rheo::cli
