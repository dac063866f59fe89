#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rheo/export.h"

namespace rheo {

/// How the first half of the channels moves the second (RealNVP, arXiv:1605.08803, eqs. 4-5).
enum class Coupling { affine, additive };

/// The scale s of an affine coupling, from what its network returns.
enum class Scale {
  sigmoid2,  ///< s = sigmoid(raw + 2), the published program's; its inverse has no bound.
  bounded,   ///< s = exp((4/pi) atan(raw)), between e^-2 and e^2, both ways.
};

/// A Glow (Kingma & Dhariwal 2018, arXiv:1807.03039): image size and architecture.
///
/// Written to checkpoints as JSON with these very names. The defaults are the paper's for CIFAR-10.
struct RHEO_API ModelConfig {
  int height = 32;   ///< Of an image, in pixels; a multiple of 2^levels.
  int width = 32;    ///< Likewise.
  int channels = 3;  ///< Of an image, 1 to 4.
  int levels = 3;    ///< Scales L; each squeezes 2x2 pixels into channels.
  int steps = 32;    ///< Flow steps K on each level.
  int hidden = 512;  ///< Width of each coupling network.
  Coupling coupling = Coupling::affine;
  int classes = 0;         ///< Rows of the top prior; 0: one row for all images.
  int n_bits = 8;          ///< Of a pixel value, 1 to 8.
  bool edge_bias = false;  ///< 3x3 convolutions know the border, as in the published program.
  Scale scale = Scale::sigmoid2;

  /// Values of one image: H W C, also the length of its latents.
  std::int64_t dims() const { return std::int64_t{height} * width * channels; }

  /// @throws Error invalid_argument naming the first value out of range.
  void validate() const;

  std::string to_json() const;

  /// @throws Error bad_file for malformed JSON, a missing, unknown or duplicate key, a wrong value.
  static ModelConfig from_json(std::string_view json);

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace rheo
