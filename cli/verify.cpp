#include <fmt/format.h>

#include <CLI/App.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/metrics.h"
#include "cli/output.h"
#include "cli/record.h"
#include "cli/run_directory.h"
#include "cli/settings.h"
#include "rheo/checkpoint.h"
#include "rheo/trainer.h"

namespace rheo::cli {

namespace {

namespace fs = std::filesystem;

struct Part {
  std::string path;
  bool whole;
  bool newer;        // not whole to this rheo, and of a version that it cannot read
  std::string text;  // what it is, or what is wrong with it
};

const char* word_of(const Part& part) {
  return part.whole ? "whole  " : part.newer ? "newer  " : "damaged";
}

template <class... Args>
[[noreturn]] void damaged(fmt::format_string<Args...> text, Args&&... args) {
  fail(Errc::bad_file, text, std::forward<Args>(args)...);
}

/// What config.json says that checkpoints must agree with.
struct Recorded {
  std::string model, data;
};

std::string hash_of(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find("xxh3_128");
  return found == metadata.end() ? "without a content hash" : "XXH3 " + found->second;
}

std::string text_of(const CheckpointInfo& info) {
  return fmt::format("{} of {} parameters, {}", family_name(info.config.family), info.parameters,
                     hash_of(info.metadata));
}

std::string text_of(const StateInfo& info) {
  return fmt::format("after update {}, {}", info.step, hash_of(info.metadata));
}

/// Whether a folder has a configuration, but no part of what `rheo train` adds to the model's.
bool is_of_another_program(const std::string& folder) {
  try {
    const Json config = read_json(folder + "/config.json");
    return !config.contains("train") && !config.contains("compute") && !config.contains("run");
  } catch (const Error&) {
    return false;  // for verify_config to tell
  }
}

std::string text_of(const MetricsLines& found) {
  return fmt::format("updates 1 to {}, each once, in {}{}", found.updates,
                     count_of(found.count, "lines"),
                     found.torn ? "; a line at the end was cut off, which --resume removes" : "");
}

class VerifyCommand {
 public:
  std::string path;
  bool json = false;

  int run();

 private:
  bool check(const std::string& part, const std::function<std::string()>& look);
  void verify_file(const std::string& file);
  bool verify_checkpoint(const std::string& folder, const Recorded* recorded);
  void verify_run();
  std::optional<Recorded> verify_config();
  void verify_metrics(std::int64_t newest);
  void verify_link(const std::string& name, std::int64_t newest);
  std::string result() const;

  std::vector<Part> parts_;
  std::string advice_ = "take a whole copy from where it came";
};

/// Adds a part, and says whether it is whole.
bool VerifyCommand::check(const std::string& part, const std::function<std::string()>& look) {
  try {
    parts_.push_back({part, true, false, look()});
  } catch (const Error& error) {
    const bool newer = error.code() == Errc::newer_file;
    if (!newer && error.code() != Errc::bad_file && error.code() != Errc::io) throw;
    const std::string text = error.what(), who = part + ": ";
    parts_.push_back({part, false, newer, text.starts_with(who) ? text.substr(who.size()) : text});
  }
  return parts_.back().whole;
}

void VerifyCommand::verify_file(const std::string& file) {
  if (fs::path(file).filename() == "state.safetensors")
    check(file, [&] { return text_of(inspect_state(file)); });
  else
    check(file, [&] { return text_of(inspect_checkpoint(file)); });
}

/// A checkpoint that a trainer at work removes meanwhile is no part of the run any more.
bool VerifyCommand::verify_checkpoint(const std::string& folder, const Recorded* recorded) {
  std::optional<CheckpointInfo> model;
  const std::size_t before = parts_.size();
  const bool model_whole = check(folder + "/model.safetensors", [&] {
    model = inspect_checkpoint(folder + "/model.safetensors");
    if (recorded && model->config.to_json() != recorded->model)
      damaged("its configuration is not that of config.json");
    return text_of(*model);
  });
  const bool state_whole = check(folder + "/state.safetensors", [&] {
    const StateInfo state = inspect_state(folder + "/state.safetensors", model ? &*model : nullptr);
    if (recorded && state.metadata.at("data") != recorded->data)
      damaged("its data were {}, those of config.json are {}", state.metadata.at("data"),
              recorded->data);
    const bool known = model && state.metadata.contains("model");
    return text_of(state) + (known ? ", of the model beside it" : "");
  });
  if (recorded && !fs::exists(folder)) parts_.resize(before);
  return model_whole && state_whole;
}

std::optional<Recorded> VerifyCommand::verify_config() {
  const std::string file = path + "/config.json";
  std::optional<Recorded> recorded;
  check(file, [&] {
    const Json config = read_json(file);
    for (const char* key : {"model", "train", "data", "compute", "run"})
      if (!config.contains(key)) damaged("has no section {}", key);
    TrainOptions::from_json(config["train"].dump());
    const Json& data = section(file, config, "data");
    const auto fingerprint = data.find("train_fingerprint");
    if (fingerprint == data.end() || !fingerprint->is_string())
      damaged("data has no text train_fingerprint");
    recorded = {ModelConfig::from_json(config["model"].dump()).to_json(),
                fingerprint->get<std::string>()};
    return fmt::format("of data {}", recorded->data);
  });
  return recorded;
}

void VerifyCommand::verify_metrics(std::int64_t newest) {
  const std::string file = path + "/metrics.jsonl";
  if (newest < 0 && !fs::exists(file)) return;
  const bool whole = check(file, [&] {
    const MetricsLines found = check_metrics(file);
    if (found.updates < newest)
      damaged("ends with update {}; the newest checkpoint is of {}", found.updates, newest);
    return text_of(found);
  });
  if (!whole && newest >= 0)
    advice_ = fmt::format("no model is lost; once that line is mended or removed, {}", advice_);
}

void VerifyCommand::verify_link(const std::string& name, std::int64_t newest) {
  const std::string folder = path + "/checkpoints/", link = folder + name;
  if (!fs::is_symlink(link)) return;
  check(link, [&] {
    std::error_code none;
    std::string target = fs::read_symlink(link, none).string();
    // A trainer at work may have moved it and removed what it led to.
    for (std::string before; !fs::is_directory(folder + target, none);) {
      before = std::exchange(target, fs::read_symlink(link, none).string());
      if (target == before) damaged("leads to {}, which is not there", target);
    }
    const auto step = RunDirectory::step_of(target);
    const bool older = name == "last" && step && *step < newest;
    return "leads to " + target + (older ? "; --resume makes it lead to the newest" : "");
  });
}

void VerifyCommand::verify_run() {
  const auto recorded = verify_config();
  // Newest first, before the lines of metrics, which are there before a checkpoint is.
  std::int64_t newest = -1;
  std::vector<std::int64_t> steps;
  if (fs::is_directory(path + "/checkpoints")) steps = RunDirectory::steps(path);
  advice_ = fmt::format(
      "a model.safetensors that is whole can still sample and score; without {}/checkpoints, rheo "
      "train --resume begins anew",
      path);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string folder = RunDirectory::checkpoint(path, *step);
    if (!verify_checkpoint(folder, recorded ? &*recorded : nullptr) || newest >= 0) continue;
    newest = *step;
    advice_ = fmt::format("rheo train --resume goes on from {}", folder);
  }
  if (!recorded) advice_ = "put config.json back, without which no run goes on";
  verify_metrics(newest);
  if (newest < 0) return;
  for (const char* name : {"last", "best"}) verify_link(name, newest);
}

std::string VerifyCommand::result() const {
  std::string text;
  if (json) {
    Json all = {{"path", path}, {"whole", true}, {"parts", Json::array()}};
    for (const Part& part : parts_) {
      all["parts"].push_back({{"path", part.path}, {"whole", part.whole}, {"text", part.text}});
      if (!part.whole) all["whole"] = false;
    }
    return text_of_json(all, 2);
  }
  for (const Part& part : parts_)
    text += fmt::format("{}  {}\n", word_of(part), on_one_line(part.path + ": " + part.text));
  return text;
}

int VerifyCommand::run() {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const bool checkpoint =
      fs::exists(path + "/model.safetensors") || fs::exists(path + "/state.safetensors");
  if (!fs::exists(path)) advice_ = "check the path";
  if (!fs::is_directory(path))
    verify_file(path);
  else if (checkpoint)
    verify_checkpoint(path, nullptr);
  else if (is_of_another_program(path))
    damaged("{}: is no run of rheo train, whose config.json has sections train, compute and run{}",
            path,
            fs::exists(path + "/checkpoints/last")
                ? fmt::format("; for its model, verify {}/checkpoints/last", path)
                : "");
  else if (fs::exists(path + "/config.json") || fs::exists(path + "/checkpoints"))
    verify_run();
  else
    damaged("{}: is neither a file nor the folder of a checkpoint or of a run", path);
  print(result());
  std::vector<Part> bad;
  bool newer = false;
  for (const Part& part : parts_) {
    if (!part.whole) bad.push_back(part);
    newer = newer || part.newer;
  }
  if (bad.empty()) return kDone;
  if (newer) advice_ = "use the rheo that wrote it";
  damaged("{}: {} of {} damaged{}: {}: {}; {}", path, bad.size(),
          count_of(static_cast<std::int64_t>(parts_.size()), "parts"),
          newer ? " or newer than this rheo" : "", bad[0].path, bad[0].text, advice_);
}

}  // namespace

Run add_verify(CLI::App& app) {
  auto command = std::make_shared<VerifyCommand>();
  app.add_option("PATH", command->path, "A .safetensors file, or the folder of a checkpoint or run")
      ->required();
  app.add_flag("--json", command->json, "Print the result as JSON");
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
