// lengths: the three products share their helpers, cases and one suite.

#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <iterator>
#include <tuple>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr Dtype kTypes[] = {Dtype::f32, Dtype::bf16};

struct Sizes {
  std::int64_t rows;
  int in, out;
};

/// Odd ones; several tiles of rows and a rest; several tiles of a weight gradient and a rest.
constexpr Sizes kSizes[] = {{1, 1, 1},      {9, 5, 3},      {5, 17, 33},   {257, 64, 24},
                            {130, 300, 70}, {1030, 20, 12}, {40, 24, 300}, {0, 8, 8}};

class LinearTest : public OnBackend {
 protected:
  template <class Args>
  void run(void (*Backend::*op)(const Args&, Stream), const Args& args) {
    (backend().*op)(args, nullptr);
  }

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

  /// A weight as the backend reads it fastest; null where it wants no other form.
  const void* pack(int in, int out, Dtype type, const void* weight) {
    LinearPack pack = {in, out, type, weight, nullptr};
    const std::size_t bytes = backend().packed_bytes(pack);
    if (bytes == 0) return nullptr;
    pack.packed = arena_.workspace<char>(static_cast<std::int64_t>(bytes));
    backend().pack(&pack, 1, nullptr);
    return pack.packed;
  }

  std::vector<char> bytes(const void* data, Dtype type, std::int64_t count) {
    return arena_.read(static_cast<const char*>(data), count * size_of(type));
  }

  /// Small integers, a half more each where `half`: their products and sums are exact in float32,
  /// in whatever order, and with the half none is zero.
  std::vector<float> integers(std::int64_t count, bool half = false) {
    std::vector<float> values = arena_.normal(count, 2);
    for (float& value : values) value = std::round(value) + (half ? 0.5f : 0.f);
    return values;
  }

  /// `values` in the backend's memory, so many elements behind where a vector starts.
  void* place(const std::vector<float>& values, Dtype type, int shift = 0) {
    std::vector<float> shifted(values.size() + shift, 0.f);
    std::copy(values.begin(), values.end(), shifted.begin() + shift);
    if (type == Dtype::f32) return arena_.inout(shifted) + shift;
    std::vector<Bf16> halves;
    for (float value : shifted) halves.push_back(to_bf16(value));
    return arena_.inout(halves) + shift;
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
      for (int option = 0; option < 8; ++option) {
        const bool relu = option & 1, bias = option & 2, packed = option & 4;
        const Dtype y_type = relu ? type : Dtype::f32;
        const void* weight = arena_.in(type, std::int64_t{s.out} * s.in);
        const LinearArgs a = {.rows = s.rows,
                              .in = s.in,
                              .out = s.out,
                              .type = type,
                              .x = arena_.in(type, s.rows * s.in),
                              .weight = weight,
                              .packed = packed ? pack(s.in, s.out, type, weight) : nullptr,
                              .bias = bias ? arena_.in(y_type, s.out) : nullptr,
                              .relu = relu,
                              .y_type = y_type,
                              .y = arena_.out(y_type, s.rows * s.out),
                              .mask = nullptr};
        run(&Backend::linear_forward, a);
        const auto x = doubles(a.x, type, s.rows * s.in);
        const auto w = doubles(a.weight, type, std::int64_t{s.out} * s.in);
        const auto b = doubles(a.bias, y_type, bias ? s.out : 0);
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
                                          .mask = nullptr,
                                          .dx_type = type,
                                          .dx = arena_.out(type, s.rows * s.in)};
        run(&Backend::linear_backward_data, a);
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
  float* dx = arena_.out<float>(4);
  run(&Backend::linear_backward_data, {.rows = 1,
                                       .in = 4,
                                       .out = 1,
                                       .type = Dtype::f32,
                                       .dy = arena_.in(std::vector<float>{1}),
                                       .weight = arena_.in(std::vector<float>{1, 2, 3, 4}),
                                       .x = arena_.in(std::vector<float>{0, -0.f, 1e-38f, 5}),
                                       .mask = nullptr,
                                       .dx_type = Dtype::f32,
                                       .dx = dx});
  EXPECT_EQ(arena_.read(dx, 4), (std::vector<float>{0, 0, 3, 4}));
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
      run(&Backend::linear_backward_weights, a);
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
constexpr std::int64_t kRows[] = {1, 7, 8, 9, 31, 33, 64, 255, 256, 257, 700};

TEST_P(LinearTest, BitsOfARowDependNeitherOnTheBatchNorOnThreads) {
  if (std::string(backend().name) != "cpu")
    GTEST_SKIP() << "cuBLASLt chooses its tiles by the number of rows too";
  on_every_type([&](Dtype type) {
    for (const auto& [in, out, most] : {std::tuple{64, 128, 700},
                                        {128, 108, 700},
                                        {17, 33, 700},
                                        {512, 512, 700},
                                        {224, 512, 700},
                                        {512, 432, 700},
                                        {64, 512, 5000},
                                        {16, 600, 5000}}) {
      const void* x = arena_.in(type, std::int64_t{most} * in);
      const void* weight = arena_.in(type, std::int64_t{in} * out);
      const void* bias = arena_.in(type, out);
      void* y = arena_.out(type, std::int64_t{most} * out);
      const void* packs[] = {nullptr, pack(in, out, type, weight)};
      const auto forward = [&, in = in, out = out](std::int64_t rows, int threads, bool packed) {
        backend().set_threads(threads);
        run(&Backend::linear_forward,
            {rows, in, out, type, x, weight, packs[packed], bias, true, type, y, nullptr});
        return bytes(y, type, rows * out);
      };
      const std::vector<char> want = forward(most, 2, false);
      std::vector<std::int64_t> all(std::begin(kRows), std::end(kRows));
      all.push_back(most);
      for (std::int64_t rows : all)
        for (int threads : {1, 2, 3, 16})
          for (bool packed : {false, true}) {
            const std::vector<char> got = forward(rows, threads, packed);
            ASSERT_TRUE(std::equal(got.begin(), got.end(), want.begin()))
                << rows << " rows of " << in << " to " << out << ", " << threads << " threads"
                << (packed ? ", packed" : "");
          }
    }
  });
}

TEST_P(LinearTest, BitsOfGradientsDependNotOnThreads) {
  on_every_type([&](Dtype type) {
    for (const auto& [rows, in, out] : {Sizes{515, 300, 70}, {600, 512, 512}, {600, 64, 512}}) {
      const void *x = arena_.in(type, rows * in), *dy = arena_.in(type, rows * out);
      const void* weight = arena_.in(type, std::int64_t{in} * out);
      const std::vector<float> zero(std::int64_t{in} * out, 0.f);
      const auto gradients = [&, rows = rows, in = in, out = out](int threads) {
        backend().set_threads(threads);
        void* dx = arena_.out(type, rows * in);
        float *dw = arena_.inout(zero), *db = arena_.inout(std::vector<float>(out, 0.f));
        run(&Backend::linear_backward_data,
            {rows, in, out, type, dy, weight, x, nullptr, type, dx});
        run(&Backend::linear_backward_weights, {rows, in, out, type, dy, x, dw, db});
        std::vector<char> all = bytes(dx, type, rows * in);
        for (char byte : bytes(dw, Dtype::f32, std::int64_t{in} * out)) all.push_back(byte);
        for (char byte : bytes(db, Dtype::f32, out)) all.push_back(byte);
        return all;
      };
      const std::vector<char> want = gradients(1);
      for (int threads : {2, 3, 8}) EXPECT_TRUE(gradients(threads) == want) << threads;
    }
  });
}

TEST_P(LinearTest, OperandsMayLieAnywhere) {
  on_every_type([&](Dtype type) {
    for (const auto& [rows, in, out] : kSizes) {
      const auto x = integers(rows * in), w = integers(std::int64_t{in} * out);
      const auto dy = integers(rows * out), b = integers(out);
      const auto all = [&, rows = rows, in = in, out = out](int shift) {
        const void *x_at = place(x, type, shift), *w_at = place(w, type, shift);
        const void *dy_at = place(dy, type, shift), *b_at = place(b, type, shift);
        void *y = place(dy, type, shift), *dx = place(x, type, shift);
        auto* dw = static_cast<float*>(place(w, Dtype::f32, shift));
        auto* db = static_cast<float*>(place(b, Dtype::f32, shift));
        run(&Backend::linear_forward,
            {rows, in, out, type, x_at, w_at, nullptr, b_at, true, type, y, nullptr});
        run(&Backend::linear_backward_data,
            {rows, in, out, type, dy_at, w_at, x_at, nullptr, type, dx});
        run(&Backend::linear_backward_weights, {rows, in, out, type, dy_at, x_at, dw, db});
        std::vector<double> values = doubles(y, type, rows * out);
        for (double value : doubles(dx, type, rows * in)) values.push_back(value);
        for (double value : doubles(dw, Dtype::f32, in * out)) values.push_back(value);
        for (double value : doubles(db, Dtype::f32, out)) values.push_back(value);
        return values;
      };
      EXPECT_EQ(all(1), all(0)) << rows << ", " << in << ", " << out;
    }
  });
}

TEST_P(LinearTest, TheMaskOfAReLUServesAsWellAsItsOutput) {
  if (!backend().relu_masks) GTEST_SKIP() << "has no masks";
  on_every_type([&](Dtype type) {
    for (const auto& [rows, in, out] : kSizes) {
      const std::int64_t pitch = relu_mask_bytes(1, out), count = rows * out;
      const void *x = place(integers(rows * in), type), *bias = place(integers(out, true), type);
      const void* w = place(integers(std::int64_t{in} * out), type);
      void* y = arena_.out(type, count);
      auto* mask = arena_.out<std::uint8_t>(rows * pitch);
      run(&Backend::linear_forward,
          {rows, in, out, type, x, w, nullptr, bias, true, type, y, mask});
      const auto bits = arena_.read(mask, rows * pitch);
      const auto values = doubles(y, type, count);
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(bits[i / out * pitch + i % out / 8] >> i % out % 8 & 1, values[i] > 0) << i;
      // The layer behind it, of the same widths, the other way round.
      const void* dy = place(integers(rows * in), type);
      const auto backward = [&, rows = rows, in = in, out = out](const void* bits_or_null) {
        void* dx = arena_.out(type, count);
        run(&Backend::linear_backward_data,
            {rows, out, in, type, dy, w, y, bits_or_null, type, dx});
        return bytes(dx, type, count);
      };
      EXPECT_EQ(backward(mask), backward(nullptr)) << rows << ", " << in << ", " << out;
    }
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
  // Of both that are compared, for the same case has to come of it.
  const bool bf16 =
      shape.option >= 2 && arena.backend().has_bf16() && baseline_variant().has_bf16();
  return {columns_stride(9, shape.channels / 2, false), 8 + 3 * shape.channels,
          bf16 ? Dtype::bf16 : Dtype::f32, bf16 && shape.option == 2 ? Dtype::bf16 : Dtype::f32,
          shape.option % 2 == 0};
}

constexpr double kReLU = 0.6;  // of the values, more or less, are zero behind a ReLU

std::vector<std::uint8_t> mask_of(const std::vector<float>& x, int in) {
  const auto size = static_cast<std::int64_t>(x.size()), pitch = relu_mask_bytes(1, in);
  std::vector<std::uint8_t> mask(size / in * pitch);
  for (std::int64_t i = 0; i < size; ++i)
    mask[i / in * pitch + i % in / 8] |= (x[i] > 0) << i % in % 8;
  return mask;
}

}  // namespace

LinearArgs linear_forward_case(Arena& arena, const CaseShape& shape) {
  const CaseLinear c = linear_case(arena, shape);
  const bool masked = c.fused && arena.backend().relu_masks;
  return {.rows = shape.pixels(),
          .in = c.in,
          .out = c.out,
          .type = c.type,
          .x = arena.in(c.type, shape.pixels() * c.in),
          .weight = arena.in(c.type, std::int64_t{c.in} * c.out, 0.1),
          .packed = nullptr,
          .bias = c.fused ? arena.in(c.y_type, c.out) : nullptr,
          .relu = c.fused,
          .y_type = c.y_type,
          .y = arena.out(c.y_type, shape.pixels() * c.out, kReLU),
          .mask = masked ? arena.workspace<std::uint8_t>(relu_mask_bytes(shape.pixels(), c.out))
                         : nullptr};
}

LinearBackwardDataArgs linear_backward_data_case(Arena& arena, const CaseShape& shape) {
  const CaseLinear c = linear_case(arena, shape);
  const void* dy = arena.in(c.type, shape.pixels() * c.out);
  const void* weight = arena.in(c.type, std::int64_t{c.in} * c.out, 0.1);
  const std::vector<float> x = arena.normal(shape.pixels() * c.in);
  std::vector<Bf16> halves;
  for (float value : x) halves.push_back(to_bf16(value));
  const void* x_at = c.y_type == Dtype::f32 ? static_cast<void*>(arena.in(x)) : arena.in(halves);
  return {.rows = shape.pixels(),
          .in = c.in,
          .out = c.out,
          .type = c.type,
          .dy = dy,
          .weight = weight,
          .x = c.fused ? x_at : nullptr,
          .mask = c.fused && arena.backend().relu_masks ? arena.in(mask_of(x, c.in)) : nullptr,
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
