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

void Folds::add_mix(int channels, std::int64_t pixels) {
  const std::int64_t n = channels;
  const auto parameter = [&](std::int64_t size) { return take(parameters, size); };
  mixes.push_back({.bias = parameter(n),
                   .log_scale = parameter(n),
                   .lower = parameter(n * n),
                   .upper = parameter(n * n),
                   .log_diagonal = parameter(n),
                   .sign = signs,
                   .permutation = permutations,
                   .mix = take(folded, n * n),
                   .inverse = take(folded, n * n),
                   .sum = take(folded, n),
                   .room = take(workspace, 4 * n * n),
                   .channels = channels,
                   .pixels = pixels});
  signs += n, permutations += n;
}

void Folds::add_product(ProductLayout layout, int out, int taps, int in, bool edge, float gain,
                        Dtype type) {
  const bool columns = layout == ProductLayout::columns;
  const int stride = columns ? columns_stride(taps, in, edge) : in;
  const std::int64_t size = std::int64_t{columns ? out : taps * out} * stride;
  const std::int64_t edges = std::int64_t{taps} * out;
  products.push_back({.weight = take(parameters, edges * in),
                      .bias = take(parameters, out),
                      .log_scale = take(parameters, out),
                      .edge = edge ? take(parameters, edges) : -1,
                      .matrix = pack(size * size_of(type)),
                      .dmatrix = take(dpacked, size),
                      .linear_bias = taps == 1 ? pack(out * size_of(type)) : -1,
                      .folded_bias = columns ? -1 : take(folded, out),
                      .folded_edge = columns || !edge ? -1 : take(folded, edges),
                      .out = out,
                      .taps = taps,
                      .in = in,
                      .stride = stride,
                      .gain = gain,
                      .layout = layout,
                      .type = type});
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
