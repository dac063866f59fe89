#pragma once

#include "rheo/config.h"
#include "rheo/dataset.h"

namespace rheo {

/// Throws invalid_argument unless data are what such a model takes: images of its size, or vectors
/// of as many numbers. `who` begins the message.
void require_match(const char* who, const ModelConfig& config, const Dataset& data);

}  // namespace rheo
