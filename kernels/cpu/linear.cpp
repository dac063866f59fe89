#include "kernels/linear.h"

#include <omp.h>

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

constexpr std::int64_t kMostOut = 128;

/// Outputs of a tile of a weight gradient: few where there are few, so that several threads find
/// work; by the shape alone, since oneDNN's sums are in another order for other heights. A tile has
/// all columns: oneDNN is slower where it has to write beside others.
constexpr std::int64_t out_tile(int out) {
  return out >= 256 ? kMostOut : out >= 128 ? 64 : out >= 64 ? 32 : 16;
}

/// Rows of a tile of a product of so many weights: small where there are few, so that all threads
/// find work, but at least `least`; at most `most`, or more where rows are little work; then what
/// products allow.
/// docs/decisions.md has the measurements.
std::int64_t row_tile(std::int64_t rows, std::int64_t least, std::int64_t most,
                      std::int64_t weights) {
  constexpr std::int64_t kEnough = 128 * 512 * 512;  // multiplications of one call of oneDNN
  const std::int64_t wanted = omp_get_max_threads() > 4 ? omp_get_max_threads() : 4;
  std::int64_t tile = most;
  while (tile < 8 * most && tile * 2 * weights <= kEnough) tile *= 2;
  while (tile > least && tile * wanted > rows) tile /= 2;
  return product_rows(rows, tile, omp_get_max_threads());
}

const char* at(const void* base, Dtype type, std::int64_t index) {
  return static_cast<const char*>(base) + index * size_of(type);
}
char* at(void* base, Dtype type, std::int64_t index) {
  return static_cast<char*>(base) + index * size_of(type);
}

std::int64_t tiles(std::int64_t size, std::int64_t tile) {
  return (size + tile - 1) / tile;
}

/// The worst outcome of a parallel loop's products.
class Worst {
 public:
  void add(Outcome outcome) {
    if (outcome != Outcome::done)
      __atomic_store_n(&worst_, static_cast<int>(outcome), __ATOMIC_RELAXED);
  }
  Outcome outcome() const { return static_cast<Outcome>(worst_); }

 private:
  int worst_ = 0;
};

/// Runs `shape` on tiles of its m rows: f(product, first row, rows).
template <class F>
void over_rows(Product shape, std::int64_t tile, const char* operation, const F& f) {
  const std::int64_t rows = shape.m, rest = rows % tile, unit = product_row_unit();
  shape.m = tile;
  const CompiledProduct* whole = rows >= tile ? &compile(shape) : nullptr;
  shape.m = tiles(rest, unit) * unit;
  const CompiledProduct* last = rest ? &compile(shape) : nullptr;
  Worst worst;
  parallel_for(tiles(rows, tile), rows * shape.n * shape.k, [&](std::int64_t i) {
    const std::int64_t first = i * tile, count = rows - first < tile ? rest : tile;
    worst.add(f(count == tile ? *whole : *last, first, count));
  });
  check_products(worst.outcome(), operation);
}

inline float value(float x) {
  return x;
}
inline float value(std::uint16_t x) {
  return from_bf16(x);
}

template <class T>
void mask(const T* kept, T* dx, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = value(kept[i]) > 0 ? dx[i] : T(0);
}

/// to[c] += sums over rows of `width` columns, in double.
template <class T>
void add_column_sums(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width,
                     float* to) {
  double sums[kMostOut] = {};
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; ++c)
      sums[c] += static_cast<double>(value(x[r * stride + c]));
  for (std::int64_t c = 0; c < width; ++c) to[c] += static_cast<float>(sums[c]);
}

void bias_gradient(const LinearBackwardWeightsArgs& a) {
  const std::int64_t width_of = out_tile(a.out);
  parallel_for(tiles(a.out, width_of), a.rows * a.out * kPerValue / 2, [&](std::int64_t tile) {
    const std::int64_t o = tile * width_of, width = a.out - o < width_of ? a.out - o : width_of;
    if (a.type == Dtype::f32)
      add_column_sums(static_cast<const float*>(a.dy) + o, a.rows, a.out, width, a.dbias + o);
    else
      add_column_sums(static_cast<const std::uint16_t*>(a.dy) + o, a.rows, a.out, width,
                      a.dbias + o);
  });
}

/// Rows [o, o + m) of a weight gradient.
Product gradient_tile(const LinearBackwardWeightsArgs& a, std::int64_t m) {
  return {.m = m,
          .n = a.in,
          .k = a.rows,
          .type = a.type,
          .c_type = Dtype::f32,
          .a_row = 1,
          .a_col = a.out,
          .b_row = a.in,
          .b_col = 1,
          .c_row = a.in,
          .accumulate = true};
}

/// Of all rows.
Product forward_product(const LinearArgs& a) {
  Product product = layer_product(a.rows, a.in, a.out, a.type, a.y_type);
  product.b_packed = a.packed != nullptr;
  product.bias = a.bias != nullptr;
  product.relu = a.relu;
  return product;
}

/// For products of any rows.
const CompiledPacking& packing_of(const LinearPack& a) {
  return compile_packing(layer_product(1, a.in, a.out, a.type, a.type));
}

}  // namespace

std::size_t packed_bytes(const LinearPack& weight) {
  return packed_bytes(packing_of(weight));
}

void pack(const LinearPack* weights, int count, Stream) {
  std::int64_t values = 0;
  for (int i = 0; i < count; ++i) {
    packing_of(weights[i]);  // it may throw here, not in the loop
    values += std::int64_t{weights[i].in} * weights[i].out;
  }
  Worst worst;
  parallel_for(count, values * kPerValue, [&](std::int64_t i) {
    const LinearPack& one = weights[i];
    if (one.packed) worst.add(run(packing_of(one), one.weight, one.packed));
  });
  check_products(worst.outcome(), "pack");
}

void linear_forward(const LinearArgs& a, Stream) {
  // oneDNN packs what is not packed anew for each tile.
  const std::int64_t weights = std::int64_t{a.in} * a.out;
  const std::int64_t tile =
      a.packed ? row_tile(a.rows, 8, 128, weights) : row_tile(a.rows, 32, 256, weights);
  over_rows(forward_product(a), tile, "linear_forward",
            [&](const CompiledProduct& p, std::int64_t first, std::int64_t count) {
              return run_rows(p, count, at(a.x, a.type, first * a.in),
                              a.packed ? a.packed : a.weight, a.bias,
                              at(a.y, a.y_type, first * a.out));
            });
}

void linear_backward_data(const LinearBackwardDataArgs& a, Stream) {
  const Product shape = {.m = a.rows,
                         .n = a.in,
                         .k = a.out,
                         .type = a.type,
                         .c_type = a.dx_type,
                         .a_row = a.out,
                         .a_col = 1,
                         .b_row = a.in,
                         .b_col = 1,
                         .c_row = a.in};
  over_rows(shape, row_tile(a.rows, 32, 256, std::int64_t{a.in} * a.out), "linear_backward_data",
            [&](const CompiledProduct& p, std::int64_t first, std::int64_t count) {
              char* dx = at(a.dx, a.dx_type, first * a.in);
              const Outcome outcome =
                  run_rows(p, count, at(a.dy, a.type, first * a.out), a.weight, nullptr, dx);
              if (a.x == nullptr) return outcome;
              const char* x = at(a.x, a.dx_type, first * a.in);
              if (a.dx_type == Dtype::f32)
                mask(reinterpret_cast<const float*>(x), reinterpret_cast<float*>(dx), count * a.in);
              else
                mask(reinterpret_cast<const std::uint16_t*>(x),
                     reinterpret_cast<std::uint16_t*>(dx), count * a.in);
              return outcome;
            });
}

void linear_backward_weights(const LinearBackwardWeightsArgs& a, Stream) {
  if (a.rows == 0) return;  // oneDNN divides by the terms of a sum
  const std::int64_t tile = out_tile(a.out), rest = a.out % tile;
  const CompiledProduct* whole = a.out >= tile ? &compile(gradient_tile(a, tile)) : nullptr;
  const CompiledProduct* last = rest ? &compile(gradient_tile(a, rest)) : nullptr;
  Worst worst;
  parallel_for(tiles(a.out, tile), a.rows * a.out * a.in, [&](std::int64_t i) {
    const std::int64_t o = i * tile;
    worst.add(run(a.out - o < tile ? *last : *whole, at(a.dy, a.type, o), a.x, nullptr,
                  a.dweight + o * a.in));
  });
  check_products(worst.outcome(), "linear_backward_weights");
  if (a.dbias) bias_gradient(a);
}

}  // namespace rheo::cpu::RHEO_ISA
