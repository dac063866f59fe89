#pragma once

#include <cstdint>
#include <vector>

#include "kernels/weights.h"

namespace rheo::test {

/// Mixes and products one behind another, with gaps that nothing may be written to.
struct Folds {
  std::vector<MixFold> mixes;
  std::vector<ProductFold> products;
  std::int64_t parameters = 1, signs = 0, permutations = 0;
  std::int64_t folded = 1, packed = 0, dpacked = 1;  // packed in bytes
  std::int64_t workspace = 1;
  std::int64_t multiple = 1;  // where each tensor begins, but for those of `packed`

  void add_mix(int channels, std::int64_t pixels, bool actnorm = true, bool factors = true);
  ProductFold& add_product(ProductLayout layout, int out, int taps, int in, bool edge, float gain,
                           Dtype type, bool scale = true);
  void add_made(MadeLayer layer, ProductLayout layout, int out, int in, int dims, float gain,
                Dtype type, bool scale);

 private:
  std::int64_t take(std::int64_t& end, std::int64_t size) const;
  std::int64_t pack(std::int64_t bytes);
};

/// Each layout with and without edge, with the taps of a model and one more, narrow and wide; two
/// of type `other`.
Folds all_folds(int channels, Dtype type, Dtype other, std::int64_t multiple = 1);

}  // namespace rheo::test
