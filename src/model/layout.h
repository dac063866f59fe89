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
  bool has_split;
  int columns_stride;  // of conv1's and the split's input
};

/// Where every tensor lies: in the checkpoint's order, in the flat buffers, and folded for pixels.
/// mixes[l * steps + k] is step k of level l; products: conv1, conv2, conv3 of each step in the
/// same order, then the splits.
struct Layout {
  Layout(const ModelConfig& config, Dtype network);

  std::vector<LevelLayout> levels;
  std::vector<ParameterInfo> tensors;
  std::vector<MixFold> mixes;
  std::vector<ProductFold> products;
  std::int64_t prior_mean = 0, prior_log_sd = 0;             // into parameters
  std::int64_t parameters = 0, signs = 0, permutations = 0;  // values in each flat buffer
  std::int64_t folded = 0, packed_bytes = 0, dpacked = 0;
  std::int64_t workspace = 0;  // doubles of weights_prepare

  const ProductFold& conv(int step, int which) const { return products[step * 3 + which]; }
  const ProductFold& split(int level) const { return products[mixes.size() * 3 + level]; }

 private:
  std::int64_t add(const std::string& name, const Shape& shape,
                   ParameterInfo::Kind kind = ParameterInfo::Kind::trainable);
  void add_step(const ModelConfig& config, const LevelLayout& level, const std::string& name,
                Dtype network);
  MixFold mix(const LevelLayout& level, const std::string& name);
  ProductFold product(const std::string& name, int out, int taps, int in, bool edge, float gain,
                      ProductLayout layout, Dtype type);
};

}  // namespace rheo
