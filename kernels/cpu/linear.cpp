#include "kernels/linear.h"

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

constexpr std::int64_t kRows = 256;  // of a tile; docs/decisions.md has the measurement
constexpr std::int64_t kIn = 256;    // of a tile of a weight gradient
constexpr std::int64_t kMostOut = 64;

/// Outputs of a tile of a weight gradient: narrow where there are few, so that several threads find
/// work; by the shape alone, so that the bits do not depend on the threads.
constexpr std::int64_t out_tile(int out) {
  return out >= 256 ? kMostOut : out >= 64 ? 32 : 16;
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
void over_rows(Product shape, const char* operation, const F& f) {
  const std::int64_t rows = shape.m, rest = rows % kRows;
  shape.m = kRows;
  const CompiledProduct* whole = rows >= kRows ? &compile(shape) : nullptr;
  shape.m = rest;
  const CompiledProduct* last = rest ? &compile(shape) : nullptr;
  Worst worst;
  parallel_for(tiles(rows, kRows), [&](std::int64_t tile) {
    const std::int64_t first = tile * kRows, count = rows - first < kRows ? rest : kRows;
    worst.add(f(count == kRows ? *whole : *last, first, count));
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
  parallel_for(tiles(a.out, width_of), [&](std::int64_t tile) {
    const std::int64_t o = tile * width_of, width = a.out - o < width_of ? a.out - o : width_of;
    if (a.type == Dtype::f32)
      add_column_sums(static_cast<const float*>(a.dy) + o, a.rows, a.out, width, a.dbias + o);
    else
      add_column_sums(static_cast<const std::uint16_t*>(a.dy) + o, a.rows, a.out, width,
                      a.dbias + o);
  });
}

/// A weight gradient cut into tiles of its rows and columns; the last of each may be smaller.
struct GradientTiles {
  std::int64_t height, down, across;
  const CompiledProduct* compiled[2][2];  // [last row of tiles][last column of tiles]

  explicit GradientTiles(const LinearBackwardWeightsArgs& a)
      : height(out_tile(a.out)), down(tiles(a.out, height)), across(tiles(a.in, kIn)), compiled{} {
    for (int last_row = 0; last_row < 2; ++last_row)
      for (int last_column = 0; last_column < 2; ++last_column) {
        const std::int64_t m = last_row ? a.out - (down - 1) * height : height;
        const std::int64_t n = last_column ? a.in - (across - 1) * kIn : kIn;
        if (m > a.out || n > a.in) continue;  // there is but the last
        compiled[last_row][last_column] = &compile({.m = m,
                                                    .n = n,
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
                                                    .accumulate = true});
      }
  }
  const CompiledProduct& of(std::int64_t row, std::int64_t column) const {
    return *compiled[row == down - 1][column == across - 1];
  }
};

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
              const Outcome outcome =
                  run(p, at(a.dy, a.type, first * a.out), a.weight, nullptr, dx);
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
  const GradientTiles t(a);
  Worst worst;
  parallel_for(t.down * t.across, [&](std::int64_t tile) {
    const std::int64_t row = tile / t.across, column = tile % t.across;
    const std::int64_t o = row * t.height, i = column * kIn;
    worst.add(run(t.of(row, column), at(a.dy, a.type, o), at(a.x, a.type, i), nullptr,
                  a.dweight + o * a.in + i));
  });
  check_products(worst.outcome(), "linear_backward_weights");
  if (a.dbias) bias_gradient(a);
}

}  // namespace rheo::cpu::RHEO_ISA
