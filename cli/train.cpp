#include <CLI/App.hpp>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/notes.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record.h"
#include "cli/run_directory.h"
#include "cli/settings.h"
#include "cli/signals.h"
#include "cli/train_data.h"
#include "cli/training.h"
#include "rheo/model.h"
#include "rheo/trainer.h"
#include "rheo/version.h"

namespace rheo::cli {

namespace {

/// What the updates take, and what tests and pictures between them add.
std::string memory_line(Trainer& trainer) {
  const auto mb = [](std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  const MemoryPlan plan = trainer.plan(), tests = trainer.model().plan();
  const std::int64_t second = trainer.options().average > 0 ? plan.weights : 0;
  return fmt::format(
      "memory {:.0f} MB: weights {:.0f}, optimiser {:.0f}, activations {:.0f}, workspace {:.0f}; "
      "tests and pictures {:.0f} more; batches of up to {} fit",
      mb(plan.total()), mb(plan.weights), mb(plan.optimizer), mb(plan.activations),
      mb(plan.workspace), mb(second + tests.batch * tests.per_image),
      count_of(plan.largest_batch, items_of(trainer.model().config())));
}

/// "32x32x3", or "2 numbers".
std::string size_of(const ModelConfig& c) {
  return c.is_vector() ? count_of(c.dims(), "numbers")
                       : fmt::format("{}x{}x{}", c.height, c.width, c.channels);
}

/// "glow, 3 levels of 32 steps, hidden width 512"
std::string shape_of(const ModelConfig& c) {
  const std::string levels = c.is_vector() ? "" : count_of(c.levels, "levels") + " of ";
  return fmt::format("{}, {}{}, hidden width {}", family_name(c.family), levels,
                     count_of(c.steps, "steps"), c.hidden);
}

class TrainCommand {
 public:
  explicit TrainCommand(CLI::App& app);
  int run();

 private:
  void add_run_flags();
  void add_routine_flags();

  void check_flags() const;
  void settle();
  void settle_resumed();
  void settle_for(const Dataset& data);
  Trainer make_trainer(const OpenedData& data, std::optional<std::int64_t> checkpoint) const;
  void show_plan(const OpenedData& data, Trainer& trainer);
  void show_note(const std::string& text);
  void write_config(const RunDirectory& run, const OpenedData& data, Trainer& trainer) const;

  CLI::App& app_;
  std::string run_path_;
  std::string config_path_;
  bool resume_ = false;
  bool allow_inexact_ = false;
  bool conditional_ = false;
  TrainData data_;
  ComputeFlags compute_;
  Routine routine_;
  ProgressLine progress_;
  Json model_changes_, train_changes_;  // what the config file and the flags say
  Json recorded_;                       // config.json of the run to resume
  std::string said_by_;                 // whose they are, for messages
  Json model_, train_;                  // in effect
};

TrainCommand::TrainCommand(CLI::App& app) : app_(app) {
  add_data_flags(app, data_.data);
  add_run_flags();
  add_settings(app, "Model", model_settings(), Json::parse(ModelConfig{}.to_json()),
               model_changes_);
  app.add_flag("--conditional", conditional_, "As many classes as DATA has")->group("Model");
  add_settings(app, "Training", train_settings(), Json::parse(TrainOptions{}.to_json()),
               train_changes_);
  add_routine_flags();
  add_compute_flags(app, compute_);
  add_memory_flag(app, compute_);
  progress_.add_flag(app);
}

void TrainCommand::add_run_flags() {
  app_.add_option("--run", run_path_, "Folder of the run; empty or missing, unless --resume")
      ->required();
  app_.add_flag(
      "--resume", resume_,
      "Go on with --run as it was set up; DATA may be left out. Only --updates, --minutes "
      "and when to save, test and sample may differ");
  app_.add_flag("--allow-inexact", allow_inexact_,
                "Resume even on a device, threads or precision that gives other bits");
  app_.add_option("--config", config_path_,
                  "JSON, {\"model\": {...}, \"train\": {...}}; flags override it");
  auto* test =
      app_.add_option("--test", data_.test,
                      "Images or vectors to test on, of any kind DATA may be; toy:KIND are "
                      "others than DATA's, of the next seed")
          ->group("Data");
  app_.add_option("--test-labels", data_.test_labels, "Classes of its images, as --labels has them")
      ->needs(test)
      ->group("Data");
  app_.add_option("--held-out", data_.held_out, "Or so many of DATA, evenly spread")
      ->check(within(1, 1e15))
      ->excludes(test)
      ->group("Data");
}

void TrainCommand::add_routine_flags() {
  const auto add = [&](const char* flag, auto& value, const char* help, double least) {
    app_.add_option(flag, value, help)
        ->check(within(least, 1e15))
        ->group("Run")
        ->capture_default_str();
  };
  add("--minutes", routine_.minutes, "Stop after so long; 0: no limit", 0);
  add("--save-every", routine_.save_every, "Updates between checkpoints; 0: only at the end", 0);
  add("--keep", routine_.keep, "Newest checkpoints to keep; the best stays too", 1);
  add("--validate-every", routine_.validate_every, "Updates between tests; 0: only at the end", 0);
  add("--validate-images", routine_.validate_images, "Of a test on the way; 0: all", 0);
  add("--sample-every", routine_.sample_every,
      "Updates between pictures, of vectors .npy files; 0: only at the end", 0);
  add("--samples", routine_.samples, "Images of a picture; vectors 2000", 1);
  add("--sample-temperature", routine_.sample_temperature, "Of the pictures; of vectors 1", 0);
}

void TrainCommand::check_flags() const {
  if (data_.data.path.empty() && !resume_) misuse("DATA", "is required unless --resume");
  if (allow_inexact_ && !resume_) misuse("--allow-inexact", "goes with --resume");
  if (conditional_ && model_changes_.contains("classes"))
    misuse("--conditional", "takes the classes from DATA; leave out --classes");
  require_in_range(model_changes_, train_changes_);
}

/// The configuration file, and over it the flags: the last that speaks counts.
void TrainCommand::settle() {
  Sections file;
  if (!config_path_.empty()) file = read_config(config_path_);
  said_by_ = config_path_.empty() ? "command line" : config_path_;
  require_keys(said_by_, file.model, model_settings(), {"dims", "height", "width", "channels"});
  file.model.update(model_changes_);
  file.train.update(train_changes_);
  model_changes_ = file.model;
  train_changes_ = file.train;
  // What is out of range whatever the data are is told before they are read.
  train_ = overridden(said_by_, Json::parse(TrainOptions{}.to_json()), train_changes_);
  require_in_range(said_by_, train_);
  if (resume_) settle_resumed();
}

/// What has not been said is as such data ask for.
void TrainCommand::settle_for(const Dataset& data) {
  if (!resume_) {
    const Json defaults = model_defaults(data_.data.path, data, model_changes_);
    require_known_to_model(app_, said_by_, model_changes_, defaults);
    model_ = overridden(said_by_, defaults, model_changes_);
    train_ = overridden(said_by_, train_defaults(data), train_changes_);
    if (data.is_points() && app_.count("--samples") == 0) routine_.samples = 2000;
    if (data.is_points() && app_.count("--sample-temperature") == 0)
      routine_.sample_temperature = 1;
  }
  TrainOptions::from_json(train_.dump());
  routine_.updates = train_.at("steps").get<std::int64_t>();
}

/// A resumed run is the run that it was: what is said must be what was recorded.
void TrainCommand::settle_resumed() {
  const std::string path = run_path_ + "/config.json";
  recorded_ = read_json(path);
  model_ = section(path, recorded_, "model");
  train_ = section(path, recorded_, "train");
  require_agreement(model_settings(), model_changes_, model_, "");
  // A constant rate does not know its end, so it can be moved.
  const bool movable = train_.contains("schedule") && train_["schedule"] == "constant";
  require_agreement(train_settings(), train_changes_, train_, movable ? "steps" : "");
  if (train_changes_.contains("steps")) train_["steps"] = train_changes_["steps"];
  take_data_record(path, recorded_, data_);
  // The device and precision of the last part of the run, which an inexact resume may have changed.
  Json last = recorded_;
  if (last.contains("resumed") && last["resumed"].is_array() && !last["resumed"].empty())
    last = last["resumed"].back();
  take_compute_record(path, last, app_, compute_);
  take_routine_record(path, recorded_, app_, routine_);
}

Trainer TrainCommand::make_trainer(const OpenedData& data,
                                   std::optional<std::int64_t> checkpoint) const {
  const Json& fixed = resume_ ? model_ : model_changes_;
  const ModelConfig config = model_for(data_, data, model_, fixed, conditional_);
  const Compute compute = make_compute(compute_, Work::fast);
  if (checkpoint)
    return Trainer::resume(RunDirectory::checkpoint(run_path_, *checkpoint), data.train, compute,
                           allow_inexact_);
  const TrainOptions options = TrainOptions::from_json(train_.dump());
  return Trainer(Model(config, options.seed, compute), data.train, options);
}

void TrainCommand::show_note(const std::string& text) {
  if (!text.empty()) progress_.note("note   " + text);
}

void TrainCommand::show_plan(const OpenedData& data, Trainer& trainer) {
  const ModelConfig& c = trainer.model().config();
  const Compute& compute = trainer.model().compute();
  const TrainOptions& options = trainer.options();
  progress_.note(
      fmt::format("rheo {}: {}, memory {}", version(), description(compute), name(compute.memory)));
  if (compute_.device == "auto" && compute.device.name() == "cpu") show_note(note_of_gpu());
  std::string line =
      fmt::format("data   {} of {}, ", count_of(data.train.size(), items_of(c)), size_of(c));
  line += data.test ? fmt::format("{} to test on", data.test->size()) : "none to test on";
  if (c.classes) line += fmt::format(", {} class{}", c.classes, c.classes == 1 ? "" : "es");
  progress_.note(line);
  if (data.train.is_points() && !resume_) show_note(note_of_scale(data.train.points()));
  progress_.note(
      fmt::format("model  {}: {} parameters", shape_of(c), trainer.model().parameter_count()));
  progress_.note(memory_line(trainer));
  line = fmt::format("plan   {} of {}", count_of(routine_.updates, "updates"),
                     count_of(std::int64_t{options.batch} * options.accumulate, items_of(c)));
  if (routine_.minutes > 0) line += fmt::format(" or {:g} minutes", routine_.minutes);
  if (trainer.steps_done()) line += fmt::format(", going on after {}", trainer.steps_done());
  progress_.note(line + ", into " + run_path_);
}

void TrainCommand::write_config(const RunDirectory& run, const OpenedData& data,
                                Trainer& trainer) const {
  const Json compute = compute_record(trainer.model().compute());
  Json config;
  if (resume_) {
    config = recorded_;
    // Of a run that is resumed again and again the first are forgotten: the file must stay small.
    Json& resumed = config["resumed"];
    while (resumed.size() >= 100) resumed.erase(0);
    resumed.push_back({{"step", trainer.steps_done()},
                       {"rheo", version()},
                       {"command", command_line()},
                       {"compute", compute}});
  } else {
    config = {{"rheo", version()},
              {"command", command_line()},
              {"compute", compute},
              {"data", data_record(data_, data)},
              {"model", Json::parse(trainer.model().config().to_json())}};
  }
  config["train"] = train_;
  config["run"] = routine_record(routine_);
  run.write_config(text_of_json(config, 2));
}

int TrainCommand::run() {
  check_flags();
  catch_stop_signals();
  if (resume_)
    RunDirectory::require_run(run_path_);
  else
    RunDirectory::require_fresh(run_path_);
  settle();
  const OpenedData data = open_train_data(data_, progress_);
  settle_for(data.train);
  std::optional<RunDirectory> run;
  if (resume_) run.emplace(run_path_);
  const std::optional<std::int64_t> checkpoint = run ? run->newest_whole(warn) : std::nullopt;
  Trainer trainer = make_trainer(data, checkpoint);
  // The folder is made last, so that what is refused leaves nothing behind.
  if (!run) run.emplace(run_path_);
  if (!resume_ && run->begun())
    fail(Errc::invalid_argument, "--run {}: another run has begun in it meanwhile", run_path_);
  if (!resume_) write_config(*run, data, trainer);
  Training training(trainer, *run, data.tested_on(), routine_, checkpoint.has_value(), progress_);
  // The past was accepted: a resume that is refused leaves no trace.
  if (resume_) write_config(*run, data, trainer);
  show_plan(data, trainer);
  return training.run();
}

}  // namespace

Run add_train(CLI::App& app) {
  auto command = std::make_shared<TrainCommand>(app);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
