#include "kernels/step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/reference/jacobian.h"
#include "tests/reference/matrix.h"
#include "tests/support/backends.h"
#include "tests/support/steps.h"

namespace rheo::test {
namespace {

using reference::Values;

void expect_close(const std::vector<float>& got, const Values& want, double tolerance,
                  const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << ", value " << i;
}

class StepTest : public OnBackend {
 protected:
  std::int64_t state(const StepArgs& a) { return a.grid.pixels() * a.channels; }
  std::int64_t raw(const StepArgs& a) {
    return a.grid.pixels() * coupling_kept(a.kind, a.channels - a.passed);
  }
  std::int64_t columns(const StepArgs& a) { return a.grid.pixels() * a.columns.stride; }

  std::vector<float> columns_of(const Arena& arena, const StepArgs& a) {
    return arena.read(static_cast<const float*>(a.columns.data), columns(a));
  }

  void expect_state_and_columns(const Arena& arena, const StepArgs& a, const Values& to) {
    // Up to 20 products of N(0, 1) times 9 taps: some ten roundings of values below 10.
    expect_close(arena.read(a.to, state(a)), to, 1e-5, "to");
    expect_close(columns_of(arena, a), reference::step_columns(a.grid, a.channels, to, a.columns),
                 1e-5, "columns");
    arena.results();
  }
};

TEST_P(StepTest, ForwardIsTheFormula) {
  for (const StepShape& shape : step_shapes()) {
    SCOPED_TRACE(told(shape));
    Arena arena(backend());
    const StepPair step = make_step(arena, shape);
    backend().step_forward(step.args, nullptr);
    const reference::StepOutputs want = reference::step_forward(step.want);
    expect_state_and_columns(arena, step.args, want.to);
    expect_close(arena.read(step.args.coupled, state(step.args)), want.coupled, 1e-5, "coupled");
    if (step.args.raw)
      expect_close(arena.read(step.args.raw, raw(step.args)), want.raw, 1e-5, "raw");
    const std::vector<double> log_det = log_dets(arena, step.args);
    for (std::size_t n = 0; n < (shape.taps ? log_det.size() : 0); ++n)
      EXPECT_NEAR(log_det[n], want.log_det[n], 1e-5 * (1 + std::abs(want.log_det[n])));
  }
}

TEST_P(StepTest, InverseIsTheFormula) {
  for (const StepShape& shape : step_shapes()) {
    SCOPED_TRACE(told(shape));
    Arena arena(backend());
    const StepPair step = make_step(arena, shape);
    backend().step_inverse(step.args, nullptr);
    Values to = reference::step_inverse(step.want).to;
    // Division by scales down to 0.1 makes values, and their roundings, ten times as large.
    expect_close(arena.read(step.args.to, state(step.args)), to, 5e-5, "to");
    for (std::int64_t n = 0; n < shape.grid.count; ++n)
      EXPECT_EQ(arena.read(step.args.log_det.data + n * step.args.log_det.stride, 1)[0], kSentinel)
          << "the log-det is forward's alone";
  }
}

/// Undoes the mix with its inverse, then the coupling.
TEST_P(StepTest, InverseUndoesForward) {
  for (const StepShape& shape : step_shapes()) {
    SCOPED_TRACE(told(shape));
    Arena arena(backend());
    const StepPair step = make_step(arena, shape);
    backend().step_forward(step.args, nullptr);
    StepArgs undo = step.args;
    undo.columns.data = nullptr, undo.from = step.args.to;
    undo.to = arena.out<float>(state(undo)), undo.coupled = nullptr;
    if (step.args.raw) undo.raw = arena.out<float>(raw(undo), 1);
    if (shape.mix) {
      const Values inverse = reference::inverse(step.want.mix, shape.channels);
      undo.mix = arena.in(std::vector<float>(inverse.begin(), inverse.end()));
      undo.taps.data = nullptr;
      backend().step_inverse(undo, nullptr);
      undo.from = undo.to, undo.mix = nullptr, undo.taps = step.args.taps;
    }
    backend().step_inverse(undo, nullptr);
    // The mix rounds values of 5, and the scale's inverse of ten multiplies that.
    expect_close(arena.read(undo.to, state(undo)), step.want.from, 1e-4, "from");
    if (step.args.raw) {
      // raw has forward's very bits; y - shift those of a state that was got back.
      const auto got = arena.read(undo.raw, raw(undo));
      expect_close(got, doubles(arena.read(step.args.raw, raw(undo))),
                   shape.kind == CouplingKind::tanh ? 1e-4 : 0, "raw");
    }
  }
}

TEST_P(StepTest, LogDetIsThatOfTheJacobian) {
  for (CouplingKind kind : kCouplingKinds)
    for (int taps : {9, 1}) {
      Arena arena(backend());
      const int moved = taps == 9 ? StepShape::kHalf : 4;
      const StepPair step = make_step(arena, {{1, 2, 3}, 4, kind, taps, true, true, moved});
      const auto f = [&](const Values& x) {
        StepArgs a = step.args;
        a.from = arena.in(std::vector<float>(x.begin(), x.end()));
        backend().step_forward(a, nullptr);
        return doubles(arena.read(a.to, 24));
      };
      const double mix = 6 * reference::log_abs_det(step.want.mix);
      // Given the taps the step is linear, so that a long way has no error but rounding.
      const double want = reference::log_abs_det_jacobian(f, step.want.from, 1.0);
      EXPECT_NEAR(log_dets(arena, step.args)[0] + mix, want, 1e-4);
    }
}

TEST_P(StepTest, ColumnsInBf16AreThoseInFloatRounded) {
  for (const StepShape& shape : step_shapes()) {
    Arena arena(backend());
    StepArgs a = make_step(arena, shape).args;
    backend().step_forward(a, nullptr);
    const std::vector<float> want = columns_of(arena, a);
    Bf16* rows = arena.out<Bf16>(columns(a));
    a.columns.data = rows, a.columns.type = Dtype::bf16;
    backend().step_forward(a, nullptr);
    const std::vector<Bf16> got = arena.read(rows, columns(a));
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_EQ(got[i].bits, to_bf16(want[i]).bits) << told(shape) << ", value " << i;
  }
}

TEST_P(StepTest, WhatWasKeptMakesTheSameColumnsAgain) {
  for (const StepShape& shape : step_shapes())
    for (const Dtype type : {Dtype::bf16, Dtype::f32}) {
      Arena arena(backend());
      StepArgs a = make_step(arena, shape).args;
      a.columns.type = type;
      a.columns.data = arena.out(type, columns(a), 1);
      a.kept = arena.out<Bf16>(a.grid.pixels() * a.columns.channels, 1);
      backend().step_forward(a, nullptr);
      StepArgs again{};
      again.grid = a.grid, again.channels = a.channels, again.columns = a.columns;
      again.columns.data = arena.out(type, columns(a), 1);
      again.again = a.kept;
      backend().step_forward(again, nullptr);
      const auto values = [&](const StepArgs& of) {
        std::vector<float> all;
        if (type == Dtype::f32) return columns_of(arena, of);
        for (Bf16 x : arena.read(static_cast<const Bf16*>(of.columns.data), columns(of)))
          all.push_back(from_bf16(x));
        return all;
      };
      std::vector<float> want = values(a);
      for (float& x : want) x = from_bf16(to_bf16(x));
      ASSERT_EQ(values(again), want) << told(shape);
      arena.results();
    }
}

TEST_P(StepTest, HalvesOfABf16GoToTheEvenOne) {
  Arena arena(backend());
  const float nan = std::nanf("");
  const std::vector<float> from = {1 + 0x1p-8f, 0, 1 + 0x3p-8f, 0, -1 - 0x1p-8f, 0, nan, 0};
  Bf16* rows = arena.out<Bf16>(4 * 16, 1);
  StepArgs a{};
  a.grid = {4, 1, 1}, a.channels = 2, a.from = arena.in(from);
  a.columns = {rows, Dtype::bf16, 1, 1, 16, false};
  backend().step_forward(a, nullptr);
  const std::vector<Bf16> got = arena.read(rows, 4 * 16);
  EXPECT_EQ(from_bf16(got[0]), 1.f);
  EXPECT_EQ(from_bf16(got[16]), 1 + 0x4p-8f);
  EXPECT_EQ(from_bf16(got[32]), -1.f);
  EXPECT_TRUE(std::isnan(from_bf16(got[48])));
}

TEST_P(StepTest, ColumnsOfAStateNeedNoOtherOutput) {
  Arena arena(backend());
  const StepPair step = make_step(arena, {{2, 9, 15}, 12, CouplingKind::sigmoid2, 9, true, false});
  StepArgs a = step.args;
  a.taps.data = nullptr, a.to = nullptr, a.coupled = a.raw = nullptr;
  const Values want = reference::step_columns(a.grid, 12, step.want.from, a.columns);
  for (auto op : {backend().step_forward, backend().step_inverse}) {
    op(a, nullptr);
    EXPECT_EQ(doubles(columns_of(arena, a)), want);
  }
}

TEST_P(StepTest, ColumnsHoldZerosInPlaceOfWhatIsWithheld) {
  for (const StepShape& shape : step_shapes())
    for (auto op : {backend().step_forward, backend().step_inverse})
      for (int withheld : {1, shape.seen()}) {
        Arena arena(backend());
        StepArgs a = make_step(arena, shape).args;
        a.kept = arena.out<Bf16>(a.grid.pixels() * a.columns.channels, 1);
        op(a, nullptr);
        const std::vector<float> to = arena.read(a.to, state(a));
        a.withheld = withheld;
        op(a, nullptr);
        Values shown = doubles(arena.read(a.to, state(a)));
        expect_close(to, shown, 1e-6, "to");  // another kernel may contract other products
        for (std::size_t i = 0; i < shown.size(); ++i)
          if (static_cast<int>(i) % a.channels >= shape.seen() - withheld) shown[i] = 0;
        const Values want = reference::step_columns(a.grid, a.channels, shown, a.columns);
        ASSERT_EQ(doubles(columns_of(arena, a)), want) << told(shape);
        const auto* kept = static_cast<const Bf16*>(a.kept);
        ASSERT_EQ(from_bf16(arena.read(kept, shape.seen())[shape.seen() - 1]), 0) << told(shape);
        arena.results();
      }
}

struct Extreme {
  CouplingKind kind;
  float gain = 1;
};

TEST_P(StepTest, ExtremesStayFinite) {
  for (const Extreme& extreme :
       {Extreme{CouplingKind::sigmoid2}, Extreme{CouplingKind::bounded},
        Extreme{CouplingKind::tanh, 0.8f}, Extreme{CouplingKind::tanh, 100},
        Extreme{CouplingKind::exponential}}) {
    const CouplingKind kind = extreme.kind;
    const std::vector<float> raws = {-1000, -88, -30, 30, 88, 1000, -1e30f, 1e30f};
    Arena arena(backend());
    StepPair step = make_step(arena, {{8, 1, 1}, 4, kind, 1, false, false});
    std::vector<float> taps(8 * 4);
    for (std::size_t n = 0; n < 8; ++n)
      for (std::size_t o = 0; o < 4; ++o) taps[n * 4 + o] = o < 2 ? 0.5f : raws[n];
    step.args.taps.data = arena.in(taps), step.args.taps.bias = nullptr;
    step.args.taps.stride = 4, step.want.tap_data = doubles(taps), step.want.tap_bias.clear();
    step.args.gain = arena.in(std::vector<float>{extreme.gain}), step.want.gain = {extreme.gain};
    backend().step_forward(step.args, nullptr);
    const reference::StepOutputs want = reference::step_forward(step.want);
    // Where exp underflows (raw = -1000), s stays at e^-87, which the tolerance does not see.
    expect_close(arena.read(step.args.to, 32), want.to, 1e-5, "to");
    const std::vector<double> log_det = log_dets(arena, step.args);
    for (std::size_t n = 0; n < 8; ++n)
      EXPECT_NEAR(log_det[n], want.log_det[n], 1e-5 * (1 + std::abs(want.log_det[n])))
          << "raw " << raws[n];
    StepArgs undo = step.args;
    undo.from = step.args.to, undo.to = arena.out<float>(32);
    undo.columns.data = nullptr, undo.coupled = nullptr;
    backend().step_inverse(undo, nullptr);
    const std::vector<float> back = arena.read(undo.to, 32);
    for (std::size_t i = 0; i < 32; ++i) {
      ASSERT_TRUE(std::isfinite(back[i])) << "raw " << raws[i / 4];
      // With e^-87 the shift hides what there was.
      if (std::abs(raws[i / 4]) == 30 && extreme.gain < 87) {
        ASSERT_NEAR(back[i], step.want.from[i], 1e-5 * (1 + std::abs(step.want.from[i])));
      }
    }
  }
}

TEST_P(StepTest, WorksInPlace) {
  for (const StepShape& shape : step_shapes())
    for (auto op : {backend().step_forward, backend().step_inverse}) {
      Arena arena(backend());
      const StepPair step = make_step(arena, shape);
      StepArgs a = step.args;
      op(a, nullptr);
      const auto want = arena.read(a.to, state(a)), columns = columns_of(arena, a);
      a.from = a.to = arena.inout(arena.read(a.from, state(a)));
      op(a, nullptr);
      EXPECT_EQ(arena.read(a.to, state(a)), want) << told(shape);
      EXPECT_EQ(columns_of(arena, a), columns) << told(shape);
    }
}

/// All that a step writes for the images of its batch.
struct Written {
  std::vector<float> to, columns;
  std::vector<double> log_det;
  bool operator==(const Written&) const = default;
};

TEST_P(StepTest, BitsOfAnImageDependNeitherOnTheBatchNorOnThreads) {
  for (const StepShape& shape : step_shapes()) {
    Arena arena(backend());
    const StepPair step = make_step(arena, shape);
    const auto run = [&](std::int64_t first, std::int64_t count, int threads) {
      StepArgs a = step.args;
      const std::int64_t pixels = a.grid.image_pixels();
      a.grid.count = count, a.from += first * pixels * a.channels;
      if (a.taps.data) a.taps.data += first * pixels * a.taps.stride;
      backend().set_threads(threads);
      backend().step_forward(a, nullptr);
      const auto log_det = shape.taps ? log_dets(arena, a) : Values();
      return Written{arena.read(a.to, state(a)), columns_of(arena, a), log_det};
    };
    const Written two = run(0, shape.grid.count, 2);
    EXPECT_EQ(run(0, shape.grid.count, 1), two) << told(shape);
    EXPECT_EQ(run(0, shape.grid.count, 3), two) << told(shape);
    const std::int64_t last = shape.grid.count - 1;
    const Written alone = run(last, 1, 2);
    EXPECT_TRUE(std::equal(alone.to.rbegin(), alone.to.rend(), two.to.rbegin())) << told(shape);
    EXPECT_TRUE(std::equal(alone.columns.rbegin(), alone.columns.rend(), two.columns.rbegin()));
    if (shape.taps) {
      EXPECT_EQ(alone.log_det.back(), two.log_det.back()) << told(shape);
    }
  }
}

RHEO_ON_EVERY_BACKEND(StepTest);

StepArgs step_case(Arena& arena, const CaseShape& shape) {
  StepArgs a = make_step(arena, step_of(shape)).args;
  if (shape.option == 2) {
    a.columns.type = Dtype::bf16;
    a.columns.data = arena.out<Bf16>(shape.pixels() * a.columns.stride, 1);
  }
  // The kernels of 12, 24 and 48 channels know of nothing withheld; they keep this option as it is.
  if (shape.option == 3 && shape.channels % 3 != 0) a.withheld = (a.columns.channels + 2) / 3;
  return a;
}

}  // namespace

StepArgs step_forward_case(Arena& arena, const CaseShape& shape) {
  return step_case(arena, shape);
}

StepArgs step_inverse_case(Arena& arena, const CaseShape& shape) {
  return step_case(arena, shape);
}

}  // namespace rheo::test
