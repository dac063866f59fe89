#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/toy_data.h"
#include "rheo/config.h"
#include "rheo/dataset.h"
#include "rheo/device.h"
#include "rheo/image.h"

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace rheo::cli {

/// CLI11 would turn -1 into this.
constexpr double kLargestSeed = 0x1p64;

/// Refuses numbers outside least..most, and those that are none; spelling is for others to judge.
CLI::Validator within(double least, double most);

/// Refuses all but these words.
CLI::Validator one_of(std::vector<std::string> words);

struct ComputeFlags {
  std::string device = "auto";
  int threads = 0;
  std::string precision = "auto";
  std::string memory = "auto";
};

void add_compute_flags(CLI::App& app, ComputeFlags& flags);

/// --memory, of commands that train or tell of it.
void add_memory_flag(CLI::App& app, ComputeFlags& flags);

/// Whether `--precision auto` may round the coupling networks to bf16: fine for training and
/// sampling, but a latent made with one rounding does not decode with another.
enum class Work { fast, exact };

Compute make_compute(const ComputeFlags& flags, Work work);

/// For people, where and how: "cpu, 2 threads, avx512, bf16".
std::string description(const Compute& compute);

/// "f32", "full": the words that the options take.
std::string name(Precision precision);
std::string name(Memory memory);

/// Turns the folder of a checkpoint, or of a run, whose last it is, into the path of its model.
CLI::Validator model_in_folder();

/// --model: a checkpoint, or such a folder.
void add_model_flag(CLI::App& app, std::string& model);

/// How images of other sizes are treated, and where labels are.
struct DataFlags {
  std::string path;
  int height = 0;  ///< 0: of the first image, or the model's.
  int width = 0;
  Fit fit = Fit::refuse;
  std::string labels;
  std::int64_t max_pixels = kMaxPixels;
  ToyFlags toy;
};

/// Throws unless data are images of the model's size, or vectors of as many numbers.
void require_fitting(const ModelConfig& config, const std::string& path, const Dataset& data);

/// Throws where a label is none of the model's; `path` is what it was read from.
void require_classes(const ModelConfig& config, const std::string& path, const Dataset& data);

/// The positional DATA and what goes with it. A command checks itself that DATA is there.
void add_data_flags(CLI::App& app, DataFlags& flags);

std::string name(Fit fit);
Fit fit_from_name(const std::string& name);

/// Opens DATA at the size asked for, or draws what toy:KIND names.
Dataset open_data(const DataFlags& flags, const Progress& progress);

/// Opens DATA for a model: vectors or images as it takes them, at its size, with its channels, its
/// classes not exceeded.
Dataset open_data_for(const ModelConfig& config, const DataFlags& flags, const Progress& progress);

/// --steps-done of commands that show a flow at work.
void add_steps_flag(CLI::App& app, std::optional<int>& steps, const char* help);

/// Throws unless such a model can stop after so many steps.
void require_steps(const ModelConfig& config, std::optional<int> steps);

/// --noise and --seed of commands that turn pixels into numbers.
struct NoiseFlags {
  const char* usual = "uniform";  ///< Of the command.
  std::optional<std::string> kind = {};
  std::optional<std::uint64_t> seed = {};  ///< 0.
};

void add_noise_flags(CLI::App& app, NoiseFlags& flags);
/// Throws where they were given to a model of vectors.
void require_pixels(const ModelConfig& config, const NoiseFlags& flags);
Noise make_noise(const NoiseFlags& flags);

/// Throws where --columns of a picture was given to a model of vectors.
void require_picture(const ModelConfig& config, std::int64_t columns);

}  // namespace rheo::cli
