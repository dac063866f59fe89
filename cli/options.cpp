#include "cli/options.h"

#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

constexpr double kMostThreads = 256;  // of rheo/device.h
constexpr double kMostPixels = 0x1p31 - 1;

const std::map<std::string, Precision> kPrecisions = {
    {"auto", Precision::automatic}, {"f32", Precision::f32}, {"bf16", Precision::bf16}};
const std::map<std::string, Memory> kMemories = {{"auto", Memory::automatic},
                                                 {"full", Memory::full},
                                                 {"state", Memory::state},
                                                 {"invert", Memory::invert}};
const std::map<std::string, Fit> kFits = {
    {"refuse", Fit::refuse}, {"crop", Fit::crop}, {"pad", Fit::pad}, {"resize", Fit::resize}};

template <class Value>
std::string name_of(const std::map<std::string, Value>& names, Value value) {
  for (const auto& [name, named] : names)
    if (named == value) return name;
  return "unknown";
}

/// Refuses what no machine has as a device; whether this one has it is for the library to say.
CLI::Validator device_name() {
  return CLI::Validator(
      [](const std::string& text) {
        const std::string gpu = "cuda:";
        const bool numbered = text.size() > gpu.size() && text.starts_with(gpu) &&
                              text.find_first_not_of("0123456789", gpu.size()) == std::string::npos;
        return numbered || text == "auto" || text == "cpu" || text == "cuda"
                   ? std::string()
                   : fmt::format("must be auto, cpu, cuda or cuda:N; got {}", text);
      },
      "");
}

/// Throws: what a model of vectors has no use for.
[[noreturn]] void refuse_of_vectors(const char* flag, const char* purpose) {
  fail(Errc::invalid_argument, "{} is for {}, and the model takes vectors; leave it out", flag,
       purpose);
}

/// "32" or "32x48" (height first).
void parse_size(const std::string& text, DataFlags& flags) {
  const char* end = text.data() + text.size();
  const auto height = std::from_chars(text.data(), end, flags.height);
  flags.width = flags.height;
  bool good = height.ec == std::errc();
  if (good && height.ptr != end) {
    const auto width = std::from_chars(height.ptr + 1, end, flags.width);
    good = *height.ptr == 'x' && width.ec == std::errc() && width.ptr == end;
  }
  if (!good || flags.height < 1 || flags.width < 1)
    misuse("--size", "must be HEIGHTxWIDTH or one number for both, in pixels; got {}", text);
}

}  // namespace

CLI::Validator within(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool number = !text.empty() && *end == '\0';
        return !number || (value >= least && value <= most)
                   ? std::string()
                   : fmt::format("must be from {:g} to {:g}; got {}", least, most, text);
      },
      "");
}

CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::Validator(
      [words = std::move(words)](const std::string& text) {
        return std::find(words.begin(), words.end(), text) != words.end()
                   ? std::string()
                   : fmt::format("must be {}; got {}", fmt::join(words, " or "), text);
      },
      "");
}

std::string name(Precision precision) {
  return name_of(kPrecisions, precision);
}
std::string name(Memory memory) {
  return name_of(kMemories, memory);
}
std::string name(Fit fit) {
  return name_of(kFits, fit);
}

Fit fit_from_name(const std::string& name) {
  const auto found = kFits.find(name);
  if (found == kFits.end()) fail(Errc::bad_file, "fit must be one of four; got {}", name);
  return found->second;
}

void add_compute_flags(CLI::App& app, ComputeFlags& flags) {
  app.add_option("--device", flags.device, "cpu, cuda, cuda:N, or auto: CUDA where it works")
      ->check(device_name())
      ->group("Computing")
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "On the CPU; 0: as many as the process may use")
      ->check(within(0, kMostThreads))
      ->group("Computing")
      ->capture_default_str();
  app.add_option("--precision", flags.precision,
                 "Of the coupling networks: f32, bf16, or auto: bf16 to train and sample where the "
                 "device has it, else f32")
      ->check(one_of({"auto", "f32", "bf16"}))
      ->group("Computing")
      ->capture_default_str();
}

void add_memory_flag(CLI::App& app, ComputeFlags& flags) {
  app.add_option("--memory", flags.memory, "What training keeps: auto, full, state or invert")
      ->check(one_of({"auto", "full", "state", "invert"}))
      ->group("Computing")
      ->capture_default_str();
}

Compute make_compute(const ComputeFlags& flags, Work work) {
  Compute compute;
  compute.device = Device::from_name(flags.device, flags.threads);
  compute.precision = kPrecisions.at(flags.precision);
  compute.memory = kMemories.at(flags.memory);
  if (compute.precision == Precision::automatic && work == Work::exact)
    compute.precision = Precision::f32;
  return compute;
}

std::string description(const Compute& compute) {
  return compute.device.description() + ", " + name(compute.precision);
}

void add_data_flags(CLI::App& app, DataFlags& flags) {
  app.add_option("DATA", flags.path,
                 "Images: a folder of PNG and JPEG files (sub-folder = class), CIFAR-10 binary, "
                 "IDX (gzipped or not), or .npy of uint8 [N, H, W, C]. Vectors: .npy of floats "
                 "[N, D], or toy:KIND, the standardised points of rheo toy KIND");
  app.add_option_function<std::string>(
         "--size", [&flags](const std::string& text) { parse_size(text, flags); },
         "HEIGHTxWIDTH or one number for both; else that of the first image, or the model's")
      ->type_name("SIZE")
      ->group("Data");
  std::vector<CLI::Option*> fits;
  const auto add_fit = [&](const char* flag, Fit fit, const char* help) {
    fits.push_back(app.add_flag_callback(
        flag, [&flags, fit] { flags.fit = fit; }, help));
    fits.back()->group("Data");
  };
  add_fit("--crop", Fit::crop, "Keep the centre of images of another size (default: refuse them)");
  add_fit("--pad", Fit::pad, "Put black around them");
  add_fit("--resize", Fit::resize, "Scale them; the aspect may change");
  for (CLI::Option* one : fits)
    for (CLI::Option* other : fits)
      if (one != other) one->excludes(other);
  app.add_option("--labels", flags.labels, "Classes of the images: .npy of integers, or IDX")
      ->group("Data");
  app.add_option("--max-pixels", flags.max_pixels,
                 "Of one image file; a larger one is refused before it is unpacked")
      ->check(within(1, kMostPixels))
      ->type_name("N")
      ->group("Data")
      ->capture_default_str();
  add_toy_flags(app, flags.toy);
}

Dataset open_data(const DataFlags& flags, const Progress& progress) {
  if (is_toy(flags.path)) {
    if (flags.height || flags.fit != Fit::refuse || !flags.labels.empty())
      fail(Errc::invalid_argument,
           "{}: must hold images, to have a size or labels; it stands for vectors", flags.path);
    return Dataset(toy_from_data(flags.path, flags.toy));
  }
  if (flags.toy.given())
    misuse("DATA", "must be toy:KIND to go with --points, --toy-noise or --toy-seed; got {}",
           flags.path);
  return Dataset::open(
      flags.path, {flags.height, flags.width, flags.fit, flags.labels, flags.max_pixels}, progress);
}

void require_fitting(const ModelConfig& config, const std::string& path, const Dataset& data) {
  if (config.is_vector() && !data.is_points())
    fail(Errc::invalid_argument,
         "{}: must hold vectors of {} numbers, as the model takes; got images", path,
         config.dims());
  if (config.is_vector() && data.dims() != config.dims())
    fail(Errc::invalid_argument, "{}: vectors must have {} numbers, as the model's have; got {}",
         path, config.dims(), data.dims());
  if (!config.is_vector() && data.is_points())
    fail(Errc::invalid_argument,
         "{}: must hold images of {}x{}x{}, as the model takes; got vectors", path, config.height,
         config.width, config.channels);
  if (data.channels() != config.channels)
    fail(Errc::invalid_argument, "{}: images must have {} channels, as the model has; got {}", path,
         config.channels, data.channels());
}

void require_classes(const ModelConfig& config, const std::string& path, const Dataset& data) {
  if (config.classes && data.classes() > config.classes)
    fail(Errc::invalid_argument, "{}: labels must be below {}, the model's classes; got {}", path,
         config.classes, data.classes() - 1);
}

Dataset open_data_for(const ModelConfig& config, const DataFlags& flags, const Progress& progress) {
  if (flags.height && config.is_vector()) refuse_of_vectors("--size", "images");
  if (flags.height && (flags.height != config.height || flags.width != config.width))
    fail(Errc::invalid_argument, "--size must be {}x{}, as the model has it; got {}x{}",
         config.height, config.width, flags.height, flags.width);
  if (!flags.labels.empty() && config.classes == 0)
    fail(Errc::invalid_argument, "--labels {}: the model has no classes; leave it out",
         flags.labels);
  DataFlags sized = flags;
  if (!config.is_vector() && !is_toy(flags.path)) {
    sized.height = config.height;
    sized.width = config.width;
  }
  Dataset data = open_data(sized, progress);
  require_fitting(config, flags.path, data);
  require_classes(config, data.labels_file().empty() ? flags.path : data.labels_file(), data);
  return data;
}

CLI::Validator model_in_folder() {
  const auto in_folder = [](std::string& path) {
    const std::string own = path + "/model.safetensors";
    const std::string last = path + "/checkpoints/last/model.safetensors";
    std::error_code none;
    if (std::filesystem::exists(own, none))
      path = own;
    else if (std::filesystem::exists(last, none) ||
             std::filesystem::exists(path + "/config.json", none))
      path = last;  // of a run that has none yet, what is missing
    return std::string();
  };
  return CLI::Validator(in_folder, "");
}

void add_model_flag(CLI::App& app, std::string& model) {
  app.add_option("--model", model,
                 "Checkpoint, .safetensors; or the folder of a run, whose last one it is")
      ->required()
      ->transform(model_in_folder());
}

void add_steps_flag(CLI::App& app, std::optional<int>& steps, const char* help) {
  app.add_option("--steps-done", steps, help);
}

void require_steps(const ModelConfig& config, std::optional<int> steps) {
  if (steps && !config.is_vector())
    fail(Errc::invalid_argument,
         "--steps-done is for models of vectors, and this one takes images; leave it out");
  if (steps && (*steps < 0 || *steps > config.steps))
    fail(Errc::invalid_argument, "--steps-done must be from 0 to {}, the model's steps; got {}",
         config.steps, *steps);
}

void add_noise_flags(CLI::App& app, NoiseFlags& flags) {
  app.add_option("--noise", flags.kind,
                 "Added to uint8 pixels: uniform, or centre so that they come back exactly")
      ->check(one_of({"uniform", "centre"}))
      ->default_str(flags.usual);
  app.add_option("--seed", flags.seed, "Of uniform noise")
      ->check(within(0, kLargestSeed))
      ->default_str("0");
}

void require_pixels(const ModelConfig& config, const NoiseFlags& flags) {
  if (flags.kind && config.is_vector()) refuse_of_vectors("--noise", "pixels");
  if (flags.seed && config.is_vector()) refuse_of_vectors("--seed", "noise of pixels");
}

Noise make_noise(const NoiseFlags& flags) {
  return flags.kind.value_or(flags.usual) == "centre" ? Noise::at_centre()
                                                      : Noise::uniform(flags.seed.value_or(0));
}

void require_picture(const ModelConfig& config, std::int64_t columns) {
  if (columns && config.is_vector()) refuse_of_vectors("--columns", "pictures");
}

}  // namespace rheo::cli
