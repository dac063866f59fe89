#pragma once

#include <string>

#include "rheo/tensor.h"

namespace rheo::cli {

// What a user should know before a training begins; empty where there is nothing.

/// Of a machine that has an NVIDIA GPU which cannot be used, why not.
std::string note_of_gpu();

/// Of vectors [N, D] whose numbers are far from mean 0 and deviation 1.
std::string note_of_scale(const Tensor& vectors);

}  // namespace rheo::cli
