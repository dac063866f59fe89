#include "kernels/linear.h"

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

constexpr std::int64_t kRows = 256;  // of a tile: measured at the machine's peak from here on
constexpr std::int64_t kOut = 64;    // tile of a weight gradient: two of them at width 128
constexpr std::int64_t kIn = 256;

const char* at(const void* base, Dtype type, std::int64_t index) {
  return static_cast<const char*>(base) + index * size_of(type);
}
char* at(void* base, Dtype type, std::int64_t index) {
  return static_cast<char*>(base) + index * size_of(type);
}

std::int64_t tiles(std::int64_t size, std::int64_t tile) {
  return (size + tile - 1) / tile;
}

/// Runs `shape` on tiles of its m rows: f(product, first row, rows).
template <class F>
void over_rows(Product shape, const char* operation, const F& f) {
  const std::int64_t rows = shape.m, rest = rows % kRows;
  shape.m = kRows;
  const CompiledProduct* whole = rows >= kRows ? &compile(shape) : nullptr;
  shape.m = rest;
  const CompiledProduct* last = rest ? &compile(shape) : nullptr;
  int failed = 0;
  parallel_for(tiles(rows, kRows), [&](std::int64_t tile) {
    const std::int64_t first = tile * kRows, count = rows - first < kRows ? rest : kRows;
    if (!f(count == kRows ? *whole : *last, first, count))
      __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
  });
  check_products(!failed, operation);
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
  double sums[kOut] = {};
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; ++c)
      sums[c] += static_cast<double>(value(x[r * stride + c]));
  for (std::int64_t c = 0; c < width; ++c) to[c] += static_cast<float>(sums[c]);
}

void bias_gradient(const LinearBackwardWeightsArgs& a) {
  parallel_for(tiles(a.out, kOut), [&](std::int64_t tile) {
    const std::int64_t first = tile * kOut, width = a.out - first < kOut ? a.out - first : kOut;
    if (a.type == Dtype::f32)
      add_column_sums(static_cast<const float*>(a.dy) + first, a.rows, a.out, width,
                      a.dbias + first);
    else
      add_column_sums(static_cast<const std::uint16_t*>(a.dy) + first, a.rows, a.out, width,
                      a.dbias + first);
  });
}

}  // namespace

void linear_forward(const LinearArgs& a, Stream) {
  const Product shape = {.m = a.rows,
                         .n = a.out,
                         .k = a.in,
                         .type = a.type,
                         .c_type = a.y_type,
                         .a_row = a.in,
                         .a_col = 1,
                         .b_row = 1,
                         .b_col = a.in,
                         .c_row = a.out,
                         .bias = a.bias != nullptr,
                         .relu = a.relu,
                         .accumulate = false};
  over_rows(shape, "linear_forward",
            [&](const CompiledProduct& p, std::int64_t first, std::int64_t) {
              return run(p, at(a.x, a.type, first * a.in), a.weight, a.bias,
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
                         .c_row = a.in,
                         .bias = false,
                         .relu = false,
                         .accumulate = false};
  over_rows(shape, "linear_backward_data",
            [&](const CompiledProduct& p, std::int64_t first, std::int64_t count) {
              char* dx = at(a.dx, a.dx_type, first * a.in);
              const bool ok = run(p, at(a.dy, a.type, first * a.out), a.weight, nullptr, dx);
              if (a.x == nullptr) return ok;
              const char* x = at(a.x, a.dx_type, first * a.in);
              if (a.dx_type == Dtype::f32)
                mask(reinterpret_cast<const float*>(x), reinterpret_cast<float*>(dx), count * a.in);
              else
                mask(reinterpret_cast<const std::uint16_t*>(x),
                     reinterpret_cast<std::uint16_t*>(dx), count * a.in);
              return ok;
            });
}

void linear_backward_weights(const LinearBackwardWeightsArgs& a, Stream) {
  const std::int64_t across = tiles(a.in, kIn), count = tiles(a.out, kOut) * across;
  const auto shape_of = [&](std::int64_t tile) {
    const std::int64_t o = tile / across * kOut, i = tile % across * kIn;
    return Product{.m = a.out - o < kOut ? a.out - o : kOut,
                   .n = a.in - i < kIn ? a.in - i : kIn,
                   .k = a.rows,
                   .type = a.type,
                   .c_type = Dtype::f32,
                   .a_row = 1,
                   .a_col = a.out,
                   .b_row = a.in,
                   .b_col = 1,
                   .c_row = a.in,
                   .bias = false,
                   .relu = false,
                   .accumulate = true};
  };
  for (std::int64_t tile = 0; tile < count; ++tile) compile(shape_of(tile));
  int failed = 0;
  parallel_for(count, [&](std::int64_t tile) {
    const std::int64_t o = tile / across * kOut, i = tile % across * kIn;
    if (!run(compile(shape_of(tile)), at(a.dy, a.type, o), at(a.x, a.type, i), nullptr,
             a.dweight + o * a.in + i))
      __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
  });
  check_products(!failed, "linear_backward_weights");
  if (a.dbias) bias_gradient(a);
}

}  // namespace rheo::cpu::RHEO_ISA
