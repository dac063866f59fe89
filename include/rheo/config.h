#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rheo/export.h"

namespace rheo {

/// How the first half of the channels moves the second (RealNVP, arXiv:1605.08803, eqs. 4-5).
enum class Coupling { affine, additive };

/// The scale s of an affine coupling, from what its network returns.
enum class Scale {
  sigmoid2,  ///< s = sigmoid(raw + 2), the published Glow program's; its inverse has no bound.
  bounded,   ///< s = exp((4/pi) atan(raw)), between e^-2 and e^2, both ways.
  tanh,      ///< s = exp(g tanh(raw)) with one learned g a coupling, as in RealNVP.
};

/// Which published flow a model is.
enum class Family {
  glow,     ///< Kingma & Dhariwal 2018, arXiv:1807.03039; images.
  realnvp,  ///< Dinh et al. 2017, arXiv:1605.08803; vectors, or images with ActNorm in place of
            ///< batch normalisation.
  nice,     ///< Dinh et al. 2015, arXiv:1410.8516: additive couplings and a learned diagonal.
  maf,      ///< Papamakarios et al. 2017, arXiv:1705.07057; scores in one pass, samples in D.
  iaf,      ///< Kingma et al. 2016, arXiv:1606.04934; samples in one pass, scores in D.
};

/// Their words, in the order of the enumeration: "glow" .. "iaf".
RHEO_API std::vector<std::string_view> family_names();
RHEO_API std::string_view family_name(Family family);

/// What brings other channels to the front before each coupling.
enum class Permutation {
  lu,       ///< Learned: an invertible 1x1 convolution by its LU factors (Glow).
  reverse,  ///< Fixed: couplings on vectors swap their halves, RealNVP on images takes the
            ///< checkerboard and the halves in turn; in all others the last channel comes first.
  shuffle,  ///< Fixed, drawn at random.
};

/// What latents are distributed as.
enum class Prior { gaussian, logistic };

/// Image or vector size and architecture of a flow.
///
/// Written to checkpoints as JSON with these very names. The defaults are the paper's Glow for
/// CIFAR-10.
struct RHEO_API ModelConfig {
  int height = 32;   ///< Of an image, in pixels; a multiple of 2^levels.
  int width = 32;    ///< Likewise.
  int channels = 3;  ///< Of an image, 1 to 4. Vectors of D numbers: 1x1 images of D channels.
  int levels = 3;    ///< Scales L; each squeezes 2x2 pixels into channels. 0: vectors.
  int steps = 32;    ///< Flow steps K on each level.
  int hidden = 512;  ///< Width of each coupling network; of maf and iaf at least dims - 1.
  Coupling coupling = Coupling::affine;
  int classes = 0;         ///< Rows of the top prior; 0: one row for all images.
  int n_bits = 8;          ///< Of a pixel value, 1 to 8.
  bool edge_bias = false;  ///< 3x3 convolutions know the border, as in the published program.
  Scale scale = Scale::sigmoid2;  ///< Of glow and realnvp; tanh, and not in JSON, in the others.
  Family family = Family::glow;   ///< "model" in JSON.
  Permutation permutation = Permutation::lu;
  Prior prior = Prior::gaussian;

  /// The family's defaults on vectors of `dims` numbers: 4 couplings (5 layers of MAF and IAF) and
  /// networks of two hidden layers of 256 (of MAF and IAF max(256, dims - 1)).
  static ModelConfig of_vectors(Family family, int dims);

  /// Data are vectors; "dims" in JSON stands for height, width, channels and levels then.
  bool is_vector() const { return levels == 0; }

  /// One masked network for all coordinates takes the place of couplings.
  bool is_autoregressive() const { return family == Family::maf || family == Family::iaf; }

  /// Values of one image, H W C, or of one vector; also the length of its latents.
  std::int64_t dims() const { return std::int64_t{height} * width * channels; }

  /// @throws Error invalid_argument naming the first value out of range.
  void validate() const;

  std::string to_json() const;

  /// @throws Error bad_file for malformed JSON, a missing, unknown or duplicate key, a wrong value.
  static ModelConfig from_json(std::string_view json);

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace rheo
