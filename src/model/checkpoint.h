#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/io/safetensors.h"
#include "src/model/impl.h"

namespace rheo {

/// What a checkpoint holds, in host memory. `tensors` point into `values`: move it, never copy it.
struct CheckpointContents {
  std::map<std::string, std::string> metadata;
  std::vector<std::vector<float>> values;
  std::vector<SafetensorsTensor> tensors;
};

CheckpointContents contents_of(const Model::Impl& model);

}  // namespace rheo
