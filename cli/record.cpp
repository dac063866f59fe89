#include "cli/record.h"

#include <CLI/App.hpp>
#include <filesystem>
#include <fstream>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

/// So that a run can be resumed from another folder.
std::string absolute(const std::string& path) {
  return path.empty() || is_toy(path) ? path : std::filesystem::absolute(path).string();
}

template <class Value>
Value field(const std::string& path, const Json& object, const char* key) {
  try {
    return object.at(key).get<Value>();
  } catch (const Json::exception&) {
    fail(Errc::bad_file, "{}: {} is missing or of the wrong type", path, key);
  }
}

/// take(option, key, value): where `app` was not given the option, value = record[key].
auto taker(const std::string& path, const Json& record, const CLI::App& app) {
  return [&](const char* option, const char* key, auto& value) {
    if (app.count(option) == 0) value = field<std::decay_t<decltype(value)>>(path, record, key);
  };
}

Json toy_record(const ToyFlags& flags) {
  Json record = Json::object();
  if (flags.points) record["points"] = *flags.points;
  if (flags.noise) record["noise"] = *flags.noise;
  if (flags.seed) record["seed"] = *flags.seed;
  return record;
}

ToyFlags toy_from_record(const std::string& path, const Json& record) {
  ToyFlags flags;
  if (record.contains("points")) flags.points = field<std::int64_t>(path, record, "points");
  if (record.contains("noise")) flags.noise = field<double>(path, record, "noise");
  if (record.contains("seed")) flags.seed = field<std::uint64_t>(path, record, "seed");
  return flags;
}

}  // namespace

const Json& section(const std::string& path, const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || !found->is_object())
    fail(Errc::bad_file, "{}: must have an object {}, as every run of rheo train has", path, key);
  return *found;
}

Json data_record(const TrainData& flags, const OpenedData& data) {
  Json record = {{"path", absolute(flags.data.path)},
                 {"height", flags.data.height},
                 {"width", flags.data.width},
                 {"fit", name(flags.data.fit)},
                 {"labels", absolute(flags.data.labels)},
                 {"max_pixels", flags.data.max_pixels},
                 {"test", absolute(flags.test)},
                 {"test_labels", absolute(flags.test_labels)},
                 {"held_out", flags.held_out},
                 {"train_fingerprint", data.train.fingerprint()}};
  if (is_toy(flags.data.path) || is_toy(flags.test)) record["toy"] = toy_record(flags.data.toy);
  record["test_fingerprint"] = data.test ? Json(data.test->fingerprint()) : Json();
  return record;
}

void take_data_record(const std::string& path, const Json& config, TrainData& flags) {
  const Json& record = section(path, config, "data");
  if (flags.test.empty() && flags.held_out == 0) {
    flags.test = field<std::string>(path, record, "test");
    // Those begun before there were any have none.
    if (record.contains("test_labels"))
      flags.test_labels = field<std::string>(path, record, "test_labels");
    flags.held_out = field<std::int64_t>(path, record, "held_out");
  }
  DataFlags& data = flags.data;
  if (!data.path.empty()) return;
  if (data.height || data.fit != Fit::refuse || !data.labels.empty() || data.toy.given())
    misuse("DATA",
           "is required with --size, --crop, --pad, --resize, --labels, --points, --toy-noise and "
           "--toy-seed; without them a resumed run takes what it has recorded");
  data.path = field<std::string>(path, record, "path");
  data.height = field<int>(path, record, "height");
  data.width = field<int>(path, record, "width");
  data.fit = fit_from_name(field<std::string>(path, record, "fit"));
  data.labels = field<std::string>(path, record, "labels");
  // Those begun before there was a limit to choose have none; one given now counts.
  if (record.contains("max_pixels") && data.max_pixels == kMaxPixels)
    data.max_pixels = field<std::int64_t>(path, record, "max_pixels");
  if (record.contains("toy")) data.toy = toy_from_record(path, section(path, record, "toy"));
}

Json compute_record(const Compute& compute) {
  return {{"device", compute.device.name()},
          {"threads", compute.device.threads()},
          {"precision", name(compute.precision)},
          {"memory", name(compute.memory)},
          {"instruction_set", compute.device.instruction_set()},
          {"description", compute.device.description()}};
}

void take_compute_record(const std::string& path, const Json& config, const CLI::App& app,
                         ComputeFlags& flags) {
  const auto take = taker(path, section(path, config, "compute"), app);
  take("--device", "device", flags.device);
  take("--threads", "threads", flags.threads);
  take("--precision", "precision", flags.precision);
  take("--memory", "memory", flags.memory);
}

Json routine_record(const Routine& routine) {
  return {{"minutes", routine.minutes},
          {"save_every", routine.save_every},
          {"keep", routine.keep},
          {"validate_every", routine.validate_every},
          {"validate_images", routine.validate_images},
          {"sample_every", routine.sample_every},
          {"samples", routine.samples},
          {"sample_temperature", routine.sample_temperature}};
}

void take_routine_record(const std::string& path, const Json& config, const CLI::App& app,
                         Routine& routine) {
  const auto take = taker(path, section(path, config, "run"), app);
  take("--minutes", "minutes", routine.minutes);
  take("--save-every", "save_every", routine.save_every);
  take("--keep", "keep", routine.keep);
  take("--validate-every", "validate_every", routine.validate_every);
  take("--validate-images", "validate_images", routine.validate_images);
  take("--sample-every", "sample_every", routine.sample_every);
  take("--samples", "samples", routine.samples);
  take("--sample-temperature", "sample_temperature", routine.sample_temperature);
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string line;
  for (std::string word; std::getline(file, word, '\0');) {
    const bool plain = word.find_first_of(" \t\n'\"\\$&;|<>()*?`") == std::string::npos;
    line += (line.empty() ? "" : " ") + (plain && !word.empty() ? word : "'" + word + "'");
  }
  return line;
}

}  // namespace rheo::cli
