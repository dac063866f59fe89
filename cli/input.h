#pragma once

#include <optional>
#include <string>
#include <variant>

#include "cli/options.h"
#include "cli/progress.h"
#include "rheo/config.h"
#include "rheo/npy.h"
#include "rheo/tensor.h"

namespace CLI {
class App;
}

namespace rheo::cli {

/// Where score and encode find images or vectors: DATA, or --input with an .npy of pixels or of x.
struct InputFlags {
  DataFlags data;
  NoiseFlags noise;
  std::string input;
};

void add_input_flags(CLI::App& app, InputFlags& flags);

/// Images and labels, or vectors, that fit a model, made continuous a part at a time.
class Input {
 public:
  Input(const InputFlags& flags, const ModelConfig& config, ProgressLine& progress);

  std::int64_t size() const;
  const std::string& path() const { return path_; }

  /// Images first .. first + count - 1 as x, or vectors as they are.
  Tensor images(std::int64_t first, std::int64_t count) const;
  Labels labels(std::int64_t first, std::int64_t count) const;

  /// How many images at once keep x near 64 MB, whatever their size.
  std::int64_t part() const;

 private:
  void take_data(const InputFlags& flags, const ModelConfig& config, ProgressLine& progress);
  void take_npy(const InputFlags& flags, const ModelConfig& config);
  void take_vectors(const InputFlags& flags, const ModelConfig& config);

  std::string path_;
  std::variant<Pixels, Tensor> images_;
  Labels labels_;
  Noise noise_;
  ModelConfig config_;
};

/// float32, or float64 rounded to it, as the reader of vectors takes both; none of another type.
std::optional<Tensor> floats_in(NpyArray& array);

/// As NumPy names it: "int64".
const char* type_name(const NpyArray& array);

/// Labels for `count` images from an .npy or IDX file. @throws Error bad_file naming the first that
/// is wrong.
Labels read_labels_for(const ModelConfig& config, const std::string& path, std::int64_t count);

/// Throws unless labels are there where the model has classes: a latent needs its class.
void require_labels(const ModelConfig& config, const Labels& labels, const std::string& path);

}  // namespace rheo::cli
