#pragma once

// log p of each image: all partials of its row and the log-dets that no pixel decides.

#include <cstdint>

#include "kernels/view.h"

namespace rheo {

struct LogDetArgs {
  Partials partials;  // [count, stride]
  std::int64_t count;
  int used;                 // of each row
  const double* constants;  // [constant_count]
  int constant_count;
  double* log_prob;  // [count] written, in nats
};

}  // namespace rheo
