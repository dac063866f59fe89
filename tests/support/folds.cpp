#include "tests/support/folds.h"

#include "kernels/view.h"

namespace rheo::test {
namespace {

constexpr std::int64_t kGap = 3;  // values; not a multiple of a vector

}  // namespace

std::int64_t Folds::take(std::int64_t& end, std::int64_t size) const {
  const std::int64_t at = (end + multiple - 1) / multiple * multiple;
  end = at + size + kGap;
  return at;
}

std::int64_t Folds::pack(std::int64_t bytes) {
  const std::int64_t at = packed;
  packed += (bytes + 63) / 64 * 64 + 64;
  return at;
}

void Folds::add_mix(int channels, std::int64_t pixels, bool actnorm, bool factors) {
  const std::int64_t n = channels;
  const auto parameter = [&](std::int64_t size, bool there) {
    return there ? take(parameters, size) : -1;
  };
  mixes.push_back({.bias = parameter(n, actnorm),
                   .log_scale = parameter(n, actnorm),
                   .lower = parameter(n * n, factors),
                   .upper = parameter(n * n, factors),
                   .log_diagonal = parameter(n, factors),
                   .sign = factors ? signs : -1,
                   .permutation = permutations,
                   .mix = take(folded, n * n),
                   .inverse = take(folded, n * n),
                   .folded_bias = take(folded, n),
                   .room = factors ? take(workspace, 4 * n * n) : -1,
                   .channels = channels,
                   .pixels = pixels});
  signs += factors ? n : 0, permutations += n;
}

ProductFold& Folds::add_product(ProductLayout layout, int out, int taps, int in, bool edge,
                                float gain, Dtype type, bool scale) {
  const bool columns = layout == ProductLayout::columns;
  const int stride = columns ? columns_stride(taps, in, edge) : in;
  const int rows = columns ? out : taps * out;
  const std::int64_t size = std::int64_t{rows} * stride;
  const std::int64_t edges = std::int64_t{taps} * out;
  products.push_back({.weight = take(parameters, edges * in),
                      .bias = take(parameters, out),
                      .log_scale = scale ? take(parameters, out) : -1,
                      .edge = edge ? take(parameters, edges) : -1,
                      .matrix = pack(size * size_of(type)),
                      .dmatrix = take(dpacked, size),
                      .linear_bias = taps == 1 ? pack(out * size_of(type)) : -1,
                      .folded_bias = columns ? -1 : take(folded, out),
                      .folded_edge = columns || !edge ? -1 : take(folded, edges),
                      .out = out,
                      .taps = taps,
                      .in = in,
                      .rows = rows,
                      .stride = stride,
                      .gain = gain,
                      .layout = layout,
                      .type = type});
  return products.back();
}

void Folds::add_made(MadeLayer layer, ProductLayout layout, int out, int in, int dims, float gain,
                     Dtype type, bool scale) {
  ProductFold& made = add_product(layout, out, 1, in, false, gain, type, scale);
  made.made = layer, made.made_dims = dims;
}

Folds all_folds(int channels, Dtype type, Dtype other, std::int64_t multiple) {
  using enum ProductLayout;
  Folds folds;
  folds.multiple = multiple;
  folds.add_mix(channels, 35);
  folds.add_mix(4, 1);
  folds.add_product(columns, 5, 9, channels / 2, true, 1, type);
  folds.add_product(columns, 7, 9, 6, false, 3, type);
  folds.add_product(columns, 5, 1, 6, false, 1, other);
  folds.add_product(taps, 9, 1, 11, false, 1, type);
  folds.add_product(taps, 2, 1, 522, false, 1, type);
  folds.add_product(taps, channels, 9, 5, true, 3, type);
  folds.add_product(taps, 3, 9, 5, false, 3, other);
  return folds;
}

}  // namespace rheo::test
