#pragma once

#include "rheo/config.h"
#include "rheo/model.h"

namespace rheo::cli {

/// What is told of a score: nats a vector, or bits/dim of images.
struct Loss {
  double mean, standard_error;
  const char* key;   ///< In JSON.
  const char* unit;  ///< For people.
};

inline Loss loss_of(const Score& score, const ModelConfig& config) {
  if (config.is_vector()) return {score.nats, score.nats_standard_error, "nats", "nats"};
  return {score.bits_per_dim, score.standard_error, "bits_per_dim", "bits/dim"};
}

}  // namespace rheo::cli
