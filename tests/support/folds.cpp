#include "tests/support/folds.h"

#include "kernels/view.h"

namespace rheo::test {
namespace {

std::int64_t take(std::int64_t& end, std::int64_t size, std::int64_t gap = 3) {
  const std::int64_t at = end;
  end += size + gap;
  return at;
}

}  // namespace

void Folds::add_mix(int channels, std::int64_t pixels) {
  const std::int64_t n = channels;
  const auto parameter = [&](std::int64_t size) { return take(parameters, size); };
  mixes.push_back({.bias = parameter(n),
                   .log_scale = parameter(n),
                   .lower = parameter(n * n),
                   .upper = parameter(n * n),
                   .log_diagonal = parameter(n),
                   .sign = take(signs, n, 0),
                   .permutation = take(permutations, n, 0),
                   .mix = take(folded, n * n),
                   .inverse = take(folded, n * n),
                   .sum = take(folded, n),
                   .channels = channels,
                   .pixels = pixels});
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
                      .matrix = take(packed, (size * size_of(type) + 63) / 64 * 64, 64),
                      .dmatrix = take(dpacked, size),
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

Folds all_folds(int channels, Dtype type, Dtype other) {
  using enum ProductLayout;
  Folds folds;
  folds.add_mix(channels, 35);
  folds.add_mix(4, 1);
  folds.add_product(columns, 5, 9, channels / 2, true, 1, type);
  folds.add_product(columns, 7, 9, 6, false, 3, type);
  folds.add_product(columns, 5, 1, 6, false, 1, other);
  folds.add_product(taps, 9, 1, 11, false, 1, type);
  folds.add_product(taps, channels, 9, 5, true, 3, type);
  folds.add_product(taps, 3, 9, 5, false, 3, other);
  return folds;
}

}  // namespace rheo::test
