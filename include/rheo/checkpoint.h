#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rheo/config.h"
#include "rheo/export.h"
#include "rheo/tensor.h"

namespace rheo {

struct TensorInfo {
  std::string name;
  std::string dtype;  ///< "F32" or "I32".
  Shape shape;
};

struct CheckpointInfo {
  ModelConfig config;
  std::map<std::string, std::string> metadata;  ///< As the file has it.
  std::vector<TensorInfo> tensors;              ///< In the order of docs/model.md.
  std::int64_t parameters = 0;                  ///< Trainable values.
  std::int64_t bytes = 0;                       ///< Of the file.
};

/// Reads and checks a whole checkpoint: structure, config, every tensor's name, shape and type,
/// that permutations are permutations, signs +-1 and every value finite.
/// @throws Error bad_file naming the file, the rule and the value.
RHEO_API CheckpointInfo inspect_checkpoint(const std::string& path);

}  // namespace rheo
