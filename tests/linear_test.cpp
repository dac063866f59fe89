#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr Dtype kTypes[] = {Dtype::f32, Dtype::bf16};

struct Sizes {
  std::int64_t rows;
  int in, out;
};

/// Odd ones; a tile of rows and one more; more columns than a tile of a weight gradient holds.
constexpr Sizes kSizes[] = {{1, 1, 1}, {5, 17, 33}, {257, 64, 24}, {130, 300, 70}, {0, 8, 8}};

class LinearTest : public OnBackend {
 protected:
  /// f(type) for f32, and for bf16 where this machine has it.
  void on_every_type(const std::function<void(Dtype)>& f) {
    for (Dtype type : kTypes) {
      if (type == Dtype::bf16 && !backend().has_bf16()) continue;
      SCOPED_TRACE(type == Dtype::f32 ? "f32" : "bf16");
      f(type);
    }
  }

  std::vector<double> doubles(const void* data, Dtype type, std::int64_t count) {
    std::vector<double> values;
    if (type == Dtype::f32)
      for (float x : arena_.read(static_cast<const float*>(data), count)) values.push_back(x);
    else
      for (Bf16 x : arena_.read(static_cast<const Bf16*>(data), count))
        values.push_back(from_bf16(x));
    return values;
  }

  std::vector<char> bytes(const void* data, Dtype type, std::int64_t count) {
    return arena_.read(static_cast<const char*>(data), count * size_of(type));
  }

  Arena arena_{backend()};
};

/// Of the products of two rows or columns: their sum, and that of their sizes.
struct Dot {
  double sum = 0, size = 0;
};

/// Values from `first` on, `step` apart.
struct Line {
  const std::vector<double>& values;
  std::int64_t first, step;

  double operator[](std::int64_t k) const { return values[first + k * step]; }
};

Dot dot(const Line& a, const Line& b, std::int64_t count) {
  Dot result;
  for (std::int64_t k = 0; k < count; ++k) {
    const double term = a[k] * b[k];
    result.sum += term, result.size += std::abs(term);
  }
  return result;
}

/// Terms are exact in float32 or nearly so, and their partial sums are rounded to 2^-24, mostly
/// to both sides; what is stored as bf16 is rounded to its 8 bits at last.
double room(const Dot& want, Dtype stored) {
  return 5e-7 * (1 + want.size) + (stored == Dtype::bf16 ? std::abs(want.sum) / 250 : 0);
}

TEST_P(LinearTest, ForwardIsTheProductWithBiasAndReLU) {
  on_every_type([&](Dtype type) {
    for (const Sizes& s : kSizes)
      for (int option = 0; option < 4; ++option) {
        const bool relu = option & 1, bias = option & 2;
        const Dtype y_type = relu ? type : Dtype::f32;
        const LinearArgs a = {.rows = s.rows,
                              .in = s.in,
                              .out = s.out,
                              .type = type,
                              .x = arena_.in(type, s.rows * s.in),
                              .weight = arena_.in(type, std::int64_t{s.out} * s.in),
                              .bias = bias ? arena_.in(s.out) : nullptr,
                              .relu = relu,
                              .y_type = y_type,
                              .y = arena_.out(y_type, s.rows * s.out)};
        backend().linear_forward(a, nullptr);
        const auto x = doubles(a.x, type, s.rows * s.in);
        const auto w = doubles(a.weight, type, std::int64_t{s.out} * s.in);
        const auto b = doubles(a.bias, Dtype::f32, bias ? s.out : 0);
        const auto y = doubles(a.y, y_type, s.rows * s.out);
        for (std::int64_t r = 0; r < s.rows; ++r)
          for (int o = 0; o < s.out; ++o) {
            Dot want = dot({x, r * s.in, 1}, {w, std::int64_t{o} * s.in, 1}, s.in);
            if (bias) want.sum += b[o];
            if (relu) want.sum = std::max(want.sum, 0.0);
            ASSERT_NEAR(y[r * s.out + o], want.sum, room(want, y_type)) << r << ", " << o;
          }
      }
  });
  arena_.results();
}

TEST_P(LinearTest, BackwardOfDataIsTheTransposedProductBehindTheMask) {
  on_every_type([&](Dtype type) {
    for (const Sizes& s : kSizes)
      for (bool masked : {false, true}) {
        const LinearBackwardDataArgs a = {.rows = s.rows,
                                          .in = s.in,
                                          .out = s.out,
                                          .type = type,
                                          .dy = arena_.in(type, s.rows * s.out),
                                          .weight = arena_.in(type, std::int64_t{s.out} * s.in),
                                          .x = masked ? arena_.in(type, s.rows * s.in) : nullptr,
                                          .dx_type = type,
                                          .dx = arena_.out(type, s.rows * s.in)};
        backend().linear_backward_data(a, nullptr);
        const auto dy = doubles(a.dy, type, s.rows * s.out);
        const auto w = doubles(a.weight, type, std::int64_t{s.out} * s.in);
        const auto x = doubles(a.x, type, masked ? s.rows * s.in : 0);
        const auto dx = doubles(a.dx, type, s.rows * s.in);
        for (std::int64_t r = 0; r < s.rows; ++r)
          for (int i = 0; i < s.in; ++i) {
            const Dot want = dot({dy, r * s.out, 1}, {w, i, s.in}, s.out);
            const std::int64_t at = r * s.in + i;
            if (masked && x[at] <= 0)
              ASSERT_EQ(dx[at], 0);
            else
              ASSERT_NEAR(dx[at], want.sum, room(want, type)) << r << ", " << i;
          }
      }
  });
}

TEST_P(LinearTest, AZeroOfTheReLULetsNothingThrough) {
  Arena arena(backend());
  float* dx = arena.out<float>(4);
  backend().linear_backward_data({.rows = 1,
                                  .in = 4,
                                  .out = 1,
                                  .type = Dtype::f32,
                                  .dy = arena.in(std::vector<float>{1}),
                                  .weight = arena.in(std::vector<float>{1, 2, 3, 4}),
                                  .x = arena.in(std::vector<float>{0, -0.f, 1e-38f, 5}),
                                  .dx_type = Dtype::f32,
                                  .dx = dx},
                                 nullptr);
  EXPECT_EQ(arena.read(dx, 4), (std::vector<float>{0, 0, 3, 4}));
}

TEST_P(LinearTest, BackwardOfWeightsAddsToWhatIsThere) {
  on_every_type([&](Dtype type) {
    for (const Sizes& s : kSizes) {
      const std::int64_t size = std::int64_t{s.out} * s.in;
      const std::vector<float> before = arena_.normal(size), bias = arena_.normal(s.out);
      const LinearBackwardWeightsArgs a = {.rows = s.rows,
                                           .in = s.in,
                                           .out = s.out,
                                           .type = type,
                                           .dy = arena_.in(type, s.rows * s.out),
                                           .x = arena_.in(type, s.rows * s.in),
                                           .dweight = arena_.inout(before),
                                           .dbias = arena_.inout(bias)};
      backend().linear_backward_weights(a, nullptr);
      const auto dy = doubles(a.dy, type, s.rows * s.out), x = doubles(a.x, type, s.rows * s.in);
      const auto dw = doubles(a.dweight, Dtype::f32, size);
      const auto db = doubles(a.dbias, Dtype::f32, s.out);
      const std::vector<double> one = {1};
      for (int o = 0; o < s.out; ++o) {
        const Dot sum = dot({dy, o, s.out}, {one, 0, 0}, s.rows);
        ASSERT_NEAR(db[o], bias[o] + sum.sum, room(sum, Dtype::f32));
        for (int i = 0; i < s.in; ++i) {
          const Dot want = dot({dy, o, s.out}, {x, i, s.in}, s.rows);
          const std::int64_t at = std::int64_t{o} * s.in + i;
          ASSERT_NEAR(dw[at], before[at] + want.sum, room(want, Dtype::f32)) << o << ", " << i;
        }
      }
    }
  });
}

/// Rows on both sides of a tile, and threads that share them differently.
constexpr std::int64_t kRows[] = {1, 7, 64, 255, 256, 257, 700};

TEST_P(LinearTest, BitsOfARowDependNeitherOnTheBatchNorOnThreads) {
  on_every_type([&](Dtype type) {
    for (const auto& [in, out] : {std::pair{64, 128}, {128, 108}, {17, 33}}) {
      const void* x = arena_.in(type, 700 * in);
      const void* weight = arena_.in(type, std::int64_t{in} * out);
      const float* bias = arena_.in(out);
      void* y = arena_.out(type, 700 * out);
      const auto forward = [&, in = in, out = out](std::int64_t rows, int threads) {
        backend().set_threads(threads);
        backend().linear_forward({rows, in, out, type, x, weight, bias, true, type, y}, nullptr);
        return bytes(y, type, rows * out);
      };
      const std::vector<char> want = forward(700, 2);
      for (std::int64_t rows : kRows)
        for (int threads : {1, 2, 3}) {
          const std::vector<char> got = forward(rows, threads);
          ASSERT_TRUE(std::equal(got.begin(), got.end(), want.begin()))
              << rows << " rows of " << in << " to " << out << ", " << threads << " threads";
        }
    }
  });
}

TEST_P(LinearTest, BitsOfGradientsDependNotOnThreads) {
  on_every_type([&](Dtype type) {
    constexpr int kIn = 300, kOut = 70, kCount = 515;
    const void *x = arena_.in(type, kCount * kIn), *dy = arena_.in(type, kCount * kOut);
    const void* weight = arena_.in(type, kIn * kOut);
    const std::vector<float> zero(kIn * kOut, 0.f);
    const auto gradients = [&](int threads) {
      backend().set_threads(threads);
      void* dx = arena_.out(type, kCount * kIn);
      float *dw = arena_.inout(zero), *db = arena_.inout(std::vector<float>(kOut, 0.f));
      backend().linear_backward_data({kCount, kIn, kOut, type, dy, weight, x, type, dx}, nullptr);
      backend().linear_backward_weights({kCount, kIn, kOut, type, dy, x, dw, db}, nullptr);
      std::vector<char> all = bytes(dx, type, kCount * kIn);
      for (char byte : bytes(dw, Dtype::f32, kIn * kOut)) all.push_back(byte);
      for (char byte : bytes(db, Dtype::f32, kOut)) all.push_back(byte);
      return all;
    };
    const std::vector<char> want = gradients(1);
    EXPECT_EQ(gradients(2), want);
    EXPECT_EQ(gradients(3), want);
  });
}

RHEO_ON_EVERY_BACKEND(LinearTest);

/// Types, widths, and what is fused, of a case.
struct CaseLinear {
  int in, out;
  Dtype type, y_type;
  bool fused;
};

CaseLinear linear_case(const Arena& arena, const CaseShape& shape) {
  const bool bf16 = shape.option >= 2 && arena.backend().has_bf16();
  return {columns_stride(9, shape.channels / 2, false), 8 + 3 * shape.channels,
          bf16 ? Dtype::bf16 : Dtype::f32, bf16 && shape.option == 2 ? Dtype::bf16 : Dtype::f32,
          shape.option % 2 == 0};
}

constexpr double kReLU = 0.6;  // of the values, more or less, are zero behind a ReLU

}  // namespace

LinearArgs linear_forward_case(Arena& arena, const CaseShape& shape) {
  const CaseLinear c = linear_case(arena, shape);
  return {.rows = shape.pixels(),
          .in = c.in,
          .out = c.out,
          .type = c.type,
          .x = arena.in(c.type, shape.pixels() * c.in),
          .weight = arena.in(c.type, std::int64_t{c.in} * c.out, 0.1),
          .bias = c.fused ? arena.in(c.out) : nullptr,
          .relu = c.fused,
          .y_type = c.y_type,
          .y = arena.out(c.y_type, shape.pixels() * c.out, kReLU)};
}

LinearBackwardDataArgs linear_backward_data_case(Arena& arena, const CaseShape& shape) {
  const CaseLinear c = linear_case(arena, shape);
  return {.rows = shape.pixels(),
          .in = c.in,
          .out = c.out,
          .type = c.type,
          .dy = arena.in(c.type, shape.pixels() * c.out),
          .weight = arena.in(c.type, std::int64_t{c.in} * c.out, 0.1),
          .x = c.fused ? arena.in(c.y_type, shape.pixels() * c.in) : nullptr,
          .dx_type = c.y_type,
          .dx = arena.out(c.y_type, shape.pixels() * c.in, kReLU)};
}

LinearBackwardWeightsArgs linear_backward_weights_case(Arena& arena, const CaseShape& shape) {
  const CaseLinear c = linear_case(arena, shape);
  return {.rows = shape.pixels(),
          .in = c.in,
          .out = c.out,
          .type = c.type,
          .dy = arena.in(c.type, shape.pixels() * c.out),
          .x = arena.in(c.type, shape.pixels() * c.in),
          .dweight = arena.inout(arena.normal(std::int64_t{c.in} * c.out)),
          .dbias = c.fused ? arena.inout(arena.normal(c.out)) : nullptr};
}

}  // namespace rheo::test
