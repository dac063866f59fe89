#pragma once

#include <map>
#include <string>
#include <vector>

#include "rheo/config.h"

namespace rheo::test {

/// A small model and what an independent float64 implementation makes of it.
struct GoldenCase {
  std::string name;
  std::string model_path;  ///< The checkpoint.
  ModelConfig config;
  std::map<std::string, std::vector<double>> parameters;  ///< Permutations and signs among them.
  int images = 0;
  std::vector<double> x;         ///< [N, H, W, C] or [N, D], each value a float32.
  std::vector<int> labels;       ///< [N], or empty where the model has no classes.
  std::vector<double> log_prob;  ///< [N]
  std::vector<double> latents;   ///< [N, D]
  /// Of -mean(log_prob) by "x" and by each parameter but permutations and signs.
  std::map<std::string, std::vector<double>> gradients;
};

/// The cases of tests/golden, and of the folder in RHEO_OUTSIDE_GOLDEN where that is set: each as
/// its path without ".model.safetensors", for load_golden. Never empty.
std::vector<std::string> golden_names();

/// These, which are of Glow, and those of the other families (tests/golden/family).
std::vector<std::string> all_golden_names();

/// @throws Error bad_file.
GoldenCase load_golden(const std::string& name);

}  // namespace rheo::test
