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
/// that permutations are permutations, signs +-1 and every value finite; and that the contents are
/// those of which metadata xxh3_128 is the hash, as it is in every file that rheo writes.
/// @throws Error bad_file naming the file, the rule and the value; newer_file where only a newer
/// rheo reads it; io where reading fails.
RHEO_API CheckpointInfo inspect_checkpoint(const std::string& path);

/// What a state.safetensors holds, which is beside the model.safetensors of a training run.
struct StateInfo {
  ModelConfig config;
  std::map<std::string, std::string> metadata;  ///< As the file has it.
  std::int64_t step = 0;                        ///< Updates asked for so far.
  std::int64_t bytes = 0;                       ///< Of the file.
};

/// Reads and checks a whole state.safetensors: as `inspect_checkpoint`, and, where `model` is
/// given, that both were saved together.
/// @throws Error bad_file naming the file, the rule and the value; newer_file where only a newer
/// rheo reads it; io where reading fails.
RHEO_API StateInfo inspect_state(const std::string& path, const CheckpointInfo* model = nullptr);

}  // namespace rheo
