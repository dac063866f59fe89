#pragma once

// Mean and spread of channels, for data-dependent initialisation.

#include <cstdint>

namespace rheo {

struct MomentsArgs {
  const float* x;  // [rows, stride], of which the first `channels` count
  std::int64_t rows;
  int channels;
  int stride;
  double* mean;       // [channels]
  double* deviation;  // [channels] sum over rows of (x - mean)^2
};

}  // namespace rheo
