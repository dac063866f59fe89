#pragma once

#include <string>

#include "src/io/safetensors.h"
#include "src/train/impl.h"

namespace rheo {

/// A state.safetensors, read and checked.
struct StoredState {
  std::string path;
  SafetensorsFile file;
  ModelConfig config;
  TrainOptions options;
  RunPosition at;

  /// metadata[key]. @throws Error bad_file where there is none.
  const std::string& text(const char* key) const;

  /// Its values of one kind: "parameters", "first", "second", "average".
  const std::uint8_t* values(const std::string& name) const;

  /// That it was saved with the model file of this metadata. @throws Error bad_file.
  void require_saved_with(const std::map<std::string, std::string>& model) const;
};

/// Names of the tensors of such a file.
std::vector<std::string> state_tensors(const TrainOptions& options);

/// @throws Error bad_file naming the file, the rule and the value; newer_file.
StoredState read_state(const std::string& path);

}  // namespace rheo
