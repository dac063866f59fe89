#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/weights.h"
#include "rheo/config.h"
#include "rheo/tensor.h"

namespace rheo {

/// One tensor of a checkpoint and where it lies.
struct ParameterInfo {
  enum class Kind { trainable, sign, permutation };

  std::string name;
  Shape shape;
  Kind kind;
  std::int64_t offset;  // into the flat buffer of its kind
  std::int64_t size;
};

/// One scale of the flow, on squeezed images.
struct LevelLayout {
  int height, width, channels;
  bool has_split;      // the second half of the channels leaves here
  int taps;            // of the networks: 9, or 1 on vectors
  int passed;          // channels that a coupling leaves as they are; 0: autoregressive
  int moved;           // the others
  int seen;            // first channels that the network sees: those passed, or all
  int columns_stride;  // of them
};

/// Where every tensor lies: in the checkpoint's order, in the flat buffers, and folded for pixels.
/// mixes[l * steps + k] is step k of level l; products: the three of each step's network in the
/// same order, then the learned splits. What a family lacks has no tensor: ActNorm, 1x1 factors, a
/// learned split (then standard) or top prior (then standard).
struct Layout {
  Layout(const ModelConfig& config, Dtype network);

  std::vector<LevelLayout> levels;
  std::vector<ParameterInfo> tensors;
  std::vector<MixFold> mixes;
  std::vector<ProductFold> products;
  std::int64_t gains = -1;                          // into parameters, one a step; -1: none
  std::int64_t prior_mean = -1, prior_log_sd = -1;  // into parameters; -1: zero
  std::int64_t added = 0;       // parameters from here on have gradients that add up in place
  std::int64_t zeros = 0;       // into folded: as many as the widest level's channels
  std::int64_t discarded = -1;  // into the gradient of folded: a bias's that does not count; or -1
  std::int64_t parameters = 0, signs = 0, permutations = 0;  // values in each flat buffer
  std::int64_t folded = 0, packed_bytes = 0, dpacked = 0;
  std::int64_t workspace = 0;  // doubles of weights_prepare

  const ProductFold& conv(int step, int which) const { return products[step * 3 + which]; }
  bool has_actnorm() const { return mixes[0].has_actnorm(); }
  bool has_learned_splits() const { return products.size() > mixes.size() * 3; }
  const ProductFold& split(int level) const { return products[mixes.size() * 3 + level]; }
  int scales() const { return static_cast<int>(levels.size()); }

 private:
  /// One product of a network, and which of its optional parts it has.
  struct Part {
    std::string name;
    int out, taps, in;
    bool log_scale, edge;
    float gain;
    ProductLayout layout;
    Dtype type;
    bool last;  // of a network: its bias waits for the gather
    MadeLayer made;
    int made_dims;
  };
  void add_levels(const ModelConfig& config);
  void add_priors(const ModelConfig& config);
  std::int64_t add(const std::string& name, const Shape& shape,
                   ParameterInfo::Kind kind = ParameterInfo::Kind::trainable);
  void add_network(const ModelConfig& config, const LevelLayout& level, const std::string& step,
                   Dtype network);
  MixFold mix(const ModelConfig& config, const LevelLayout& level, const std::string& step);
  ProductFold product(const Part& part);
};

}  // namespace rheo
