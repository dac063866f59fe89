#include <gtest/gtest.h>

#include <cmath>

#include "kernels/step.h"
#include "tests/support/backends.h"
#include "tests/support/steps.h"

namespace rheo::test {
namespace {

using reference::Step;
using reference::Values;

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Weights of a linear functional of everything that a step gives: its gradients come in.
struct Functional {
  Values to, columns, log_det;

  double operator()(const Step& step, const Columns& c) const {
    const reference::StepOutputs y = reference::step_forward(step);
    double sum = dot(to, y.to) + dot(log_det, y.log_det);
    if (!columns.empty())
      sum += dot(columns, reference::step_columns(step.grid, step.channels, y.to, c));
    return sum;
  }
};

/// A step, its backward, and where the gradients started from.
struct BackwardPair {
  StepPair step;
  StepBackwardArgs args;
  Functional functional;
  Values dmix, dsum, dtap_bias, dtap_edge, dgain;
};

class StepBackwardTest : public OnBackend {
 protected:
  /// Runs forward, for the state and the raw that it keeps.
  BackwardPair make(Arena& arena, const StepShape& shape, bool columns) {
    BackwardPair pair{make_step(arena, shape), {}, {}, {}, {}, {}, {}, {}};
    const StepArgs& f = pair.step.args;
    backend().step_forward(f, nullptr);
    const std::int64_t n = f.channels, state = f.grid.pixels() * n;
    const int moved = f.channels - f.passed, taps = shape.taps;
    const int out = coupling_outputs(f.kind, moved);
    const auto input = [&](std::int64_t count, Values& kept) {
      const std::vector<float> values = arena.normal(count);
      kept = doubles(values);
      return arena.in(values);
    };
    const auto sum = [&](std::int64_t count, Values& kept) {
      const std::vector<float> values = arena.normal(count);
      kept = doubles(values);
      return arena.inout(values);
    };
    StepBackwardArgs& a = pair.args;
    a.grid = f.grid, a.channels = f.channels, a.kind = f.kind, a.taps = taps;
    a.passed = f.passed, a.gain = f.gain;
    a.dy = input(state, pair.functional.to);
    a.dcolumns = f.columns;
    a.dcolumns.data =
        columns ? input(f.grid.pixels() * f.columns.stride, pair.functional.columns) : nullptr;
    a.dlog_det = input(f.grid.count, pair.functional.log_det);
    a.mix = f.mix, a.bias = f.bias, a.coupled = f.coupled, a.raw = f.raw;
    if (shape.mix) a.dmix = sum(n * n, pair.dmix), a.dsum = sum(n, pair.dsum);
    if (taps) {
      a.dtaps_type = Dtype::f32, a.dtaps_stride = taps_stride(taps, out);
      a.dtaps = arena.out<float>(f.grid.pixels() * a.dtaps_stride, 1);
      a.dtap_bias = sum(out, pair.dtap_bias);
      if (shape.edge) a.dtap_edge = sum(std::int64_t{taps} * out, pair.dtap_edge);
      if (a.gain) a.dgain = sum(1, pair.dgain);
    }
    a.dx = arena.out<float>(state);
    a.workspace =
        arena.workspace<float>(step_backward_workspace(f.grid, f.kind, f.channels, moved, taps));
    return pair;
  }

  Values read(const Arena& arena, const void* data, std::size_t count) {
    return doubles(arena.read(static_cast<const float*>(data), static_cast<std::int64_t>(count)));
  }

  /// Some forty of the values' slopes, and that along a random direction, against `gradient`.
  void expect_slopes(const BackwardPair& pair, Values Step::*values, const Values& gradient,
                     const char* what) {
    constexpr double kStep = 1e-4;  // curvature costs 1e-8 of it
    const std::size_t size = (pair.step.want.*values).size();
    ASSERT_EQ(gradient.size(), size) << what;
    const auto slope = [&](const Values& direction) {
      Step moved = pair.step.want;
      const auto at = [&](double distance) {
        for (std::size_t i = 0; i < size; ++i)
          (moved.*values)[i] = (pair.step.want.*values)[i] + distance * direction[i];
        return pair.functional(moved, pair.args.dcolumns);
      };
      return (at(kStep) - at(-kStep)) / (2 * kStep);
    };
    for (std::size_t i = 0; i < size; i += size / 40 + 1) {
      Values direction(size, 0.0);
      direction[i] = 1;
      // Sums over 270 pixels of values up to 30, rounded in float32.
      ASSERT_NEAR(gradient[i], slope(direction), 1e-4 * (1 + std::abs(gradient[i])))
          << what << ", value " << i;
    }
    Values direction = doubles(Arena(backend()).normal(static_cast<std::int64_t>(size)));
    ASSERT_NEAR(dot(gradient, direction), slope(direction),
                1e-5 * (1 + std::sqrt(dot(gradient, gradient) * static_cast<double>(size))))
        << what;
  }

  /// Rows of what is used; behind it are zeros.
  Values read_dtaps(const Arena& arena, const StepBackwardArgs& a) {
    const int used = a.taps * coupling_outputs(a.kind, a.channels - a.passed);
    const Values all = read(arena, a.dtaps, a.grid.pixels() * a.dtaps_stride);
    Values values;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (static_cast<int>(i) % a.dtaps_stride < used)
        values.push_back(all[i]);
      else
        EXPECT_EQ(all[i], 0) << "behind the taps, value " << i;
    return values;
  }

  static Values minus(Values a, const Values& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
    return a;
  }

  void expect_all_slopes(const Arena& arena, const BackwardPair& pair) {
    const StepBackwardArgs& a = pair.args;
    const Step& want = pair.step.want;
    const std::size_t n = want.channels;
    expect_slopes(pair, &Step::from, read(arena, a.dx, want.from.size()), "dx");
    if (a.taps) {
      expect_slopes(pair, &Step::tap_data, read_dtaps(arena, a), "dtaps");
      expect_slopes(pair, &Step::tap_bias,
                    minus(read(arena, a.dtap_bias, want.tap_bias.size()), pair.dtap_bias), "bias");
    }
    if (a.dtap_edge)
      expect_slopes(pair, &Step::tap_edge,
                    minus(read(arena, a.dtap_edge, want.tap_edge.size()), pair.dtap_edge), "edge");
    if (a.dgain)
      expect_slopes(pair, &Step::gain, minus(read(arena, a.dgain, 1), pair.dgain), "gain");
    if (a.mix == nullptr) return;
    expect_slopes(pair, &Step::mix, minus(read(arena, a.dmix, n * n), pair.dmix), "dmix");
    // dsum is not of the bias itself: that is M^T sum dy.
    const Values sum = minus(read(arena, a.dsum, n), pair.dsum);
    Values dbias(n, 0.0);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) dbias[j] += want.mix[i * n + j] * sum[i];
    expect_slopes(pair, &Step::bias, dbias, "dsum");
  }
};

TEST_P(StepBackwardTest, GivesTheSlopesOfTheWholeStep) {
  for (const StepShape& shape : step_shapes()) {
    const bool columns = shape.edge || shape.mix;
    SCOPED_TRACE(told(shape));
    Arena arena(backend());
    const BackwardPair pair = make(arena, shape, columns);
    backend().step_backward(pair.args, nullptr);
    arena.results();
    expect_all_slopes(arena, pair);
    if (HasFatalFailure()) return;
  }
}

TEST_P(StepBackwardTest, TapsInBf16AreThoseInFloatRounded) {
  for (CouplingKind kind : {CouplingKind::additive, CouplingKind::sigmoid2, CouplingKind::tanh})
    for (int taps : {9, 1}) {
      Arena arena(backend());
      BackwardPair pair = make(arena, {{2, 9, 15}, 12, kind, taps, true, true}, true);
      // Rows close together here, where a row may start on any of its values.
      pair.args.dtaps_stride = taps * coupling_outputs(kind, 6);
      const std::int64_t count = pair.args.grid.pixels() * pair.args.dtaps_stride;
      backend().step_backward(pair.args, nullptr);
      const auto want = arena.read(static_cast<float*>(pair.args.dtaps), count);
      Bf16* rows = arena.out<Bf16>(count);
      pair.args.dtaps = rows, pair.args.dtaps_type = Dtype::bf16;
      backend().step_backward(pair.args, nullptr);
      const std::vector<Bf16> got = arena.read(rows, count);
      for (std::size_t i = 0; i < want.size(); ++i)
        ASSERT_EQ(got[i].bits, to_bf16(want[i]).bits) << "value " << i;
    }
}

TEST_P(StepBackwardTest, ExtremesStayFinite) {
  for (CouplingKind kind : {CouplingKind::sigmoid2, CouplingKind::bounded, CouplingKind::tanh})
    for (float raw : {-1000.f, -30.f, 30.f, 1000.f, 1e30f}) {
      Arena arena(backend());
      BackwardPair pair = make(arena, {{1, 2, 2}, 4, kind, 1, false, true}, true);
      std::vector<float> kept(8, raw);
      if (kind == CouplingKind::tanh)
        kept = {raw, raw, 1, 2, raw, raw, 1, 2, raw, raw, 1, 2, raw, raw, 1, 2};
      pair.args.raw = arena.in(kept);
      backend().step_backward(pair.args, nullptr);
      for (double value : read(arena, pair.args.dx, 16)) ASSERT_TRUE(std::isfinite(value)) << raw;
      for (double value : read_dtaps(arena, pair.args)) ASSERT_TRUE(std::isfinite(value)) << raw;
    }
}

// Beyond its bounds log s stays where it is, whatever raw and gain do.
TEST_P(StepBackwardTest, AScaleAtItsBoundHasNoSlope) {
  for (CouplingKind kind : {CouplingKind::exponential, CouplingKind::tanh})
    for (float raw : {-1000.f, -88.f, -2.f, 2.f, 88.f, 1000.f}) {
      const bool tanh = kind == CouplingKind::tanh, inside = !tanh && std::abs(raw) == 2;
      Arena arena(backend());
      BackwardPair pair = make(arena, {{1, 2, 2}, 4, kind, 1, false, false}, false);
      StepBackwardArgs& a = pair.args;
      a.raw = arena.in(std::vector<float>(tanh ? 16 : 8, raw));
      if (tanh) a.gain = arena.in(std::vector<float>{100});  // 100 tanh(2) = 96
      backend().step_backward(a, nullptr);
      for (double value : read(arena, a.dx, 16)) ASSERT_TRUE(std::isfinite(value)) << raw;
      const Values dtaps = read_dtaps(arena, a);
      for (std::size_t i = 0; i < 16; ++i)
        if (i % 4 >= 2) {
          ASSERT_EQ(dtaps[i] == 0, !inside) << "raw " << raw << ", value " << i;
        }
      if (tanh) {
        ASSERT_EQ(read(arena, a.dgain, 1), pair.dgain) << raw;
      }
    }
}

TEST_P(StepBackwardTest, AllElseIsTheSameWhereTheMixsGradientIsNotWanted) {
  for (const StepShape& shape : step_shapes()) {
    const auto run = [&](bool wanted) {
      Arena arena(backend());
      const BackwardPair pair = make(arena, shape, true);
      StepBackwardArgs a = pair.args;
      const int moved = a.channels - a.passed;
      if (!wanted) {
        a.dmix = a.dsum = nullptr;
        a.workspace = arena.workspace<float>(
            step_backward_workspace(a.grid, a.kind, a.channels, moved, a.taps, false));
      }
      backend().step_backward(a, nullptr);
      arena.results();
      const Step& want = pair.step.want;
      std::vector<Values> all = {read(arena, a.dx, want.from.size())};
      if (a.taps) {
        all.push_back(read_dtaps(arena, a));
        all.push_back(read(arena, a.dtap_bias, want.tap_bias.size()));
      }
      if (a.dtap_edge) all.push_back(read(arena, a.dtap_edge, want.tap_edge.size()));
      if (a.dgain) all.push_back(read(arena, a.dgain, 1));
      return all;
    };
    ASSERT_EQ(run(false), run(true)) << told(shape);
  }
}

TEST_P(StepBackwardTest, BitsDependNotOnThreads) {
  for (const StepShape& shape : step_shapes()) {
    std::vector<std::vector<Output>> results;
    for (int threads : {1, 2, 3}) {
      Arena arena(backend());
      const BackwardPair pair = make(arena, shape, true);
      backend().set_threads(threads);
      backend().step_backward(pair.args, nullptr);
      results.push_back(arena.results());
    }
    for (std::size_t b = 0; b < results[0].size(); ++b) {
      EXPECT_EQ(results[0][b].values, results[1][b].values) << "output " << b;
      EXPECT_EQ(results[0][b].values, results[2][b].values) << "output " << b;
    }
  }
}

TEST_P(StepBackwardTest, GradientsOfAnImageDependNotOnTheBatch) {
  Arena arena(backend());
  const BackwardPair pair =
      make(arena, {{3, 9, 15}, 12, CouplingKind::sigmoid2, 9, true, true}, true);
  backend().step_backward(pair.args, nullptr);
  const std::int64_t pixels = 9 * 15;
  const auto whole = arena.read(pair.args.dx, 3 * pixels * 12);
  StepBackwardArgs last = pair.args;
  last.grid.count = 1, last.dy += 2 * pixels * 12, last.coupled += 2 * pixels * 12;
  last.raw += 2 * pixels * 6, last.dlog_det += 2;
  last.dcolumns.data = static_cast<float*>(last.dcolumns.data) + 2 * pixels * last.dcolumns.stride;
  backend().step_backward(last, nullptr);
  const auto alone = arena.read(last.dx, pixels * 12);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), whole.begin() + 2 * pixels * 12));
}

RHEO_ON_EVERY_BACKEND(StepBackwardTest);

}  // namespace

StepBackwardArgs step_backward_case(Arena& arena, const CaseShape& shape) {
  const StepShape step = step_of(shape);
  const Grid grid = step.grid;
  const int n = step.channels, taps = step.taps, moved = n - step.passed();
  const std::int64_t state = grid.pixels() * n, out = coupling_outputs(step.kind, moved);
  const int stride = columns_stride(9, step.seen(), true);
  StepBackwardArgs a{};
  a.grid = grid, a.channels = n, a.kind = step.kind, a.taps = taps, a.passed = step.passed();
  a.dy = arena.in(state);
  a.dcolumns = {arena.in(grid.pixels() * stride), Dtype::f32, 9, step.seen(), stride, true};
  if (shape.option == 1) a.dcolumns.data = nullptr;
  a.coupled = arena.in(state), a.dlog_det = arena.in(grid.count);
  a.raw = arena.in(grid.pixels() * coupling_kept(step.kind, moved));
  if (step.mix) {
    a.mix = arena.in(std::int64_t{n} * n, 0.3), a.bias = arena.in(n);
    if (shape.option != 3 || shape.width % 2 == 0) {  // else nobody wants them
      a.dmix = arena.inout(arena.normal(std::int64_t{n} * n));
      a.dsum = arena.inout(arena.normal(n));
    }
  }
  if (taps) {
    a.dtaps_type = shape.option == 2 ? Dtype::bf16 : Dtype::f32;
    a.dtaps_stride = taps_stride(taps, out);
    // Zero at the border and behind the taps.
    a.dtaps = arena.out(a.dtaps_type, grid.pixels() * a.dtaps_stride, 0.95);
    a.dtap_bias = arena.inout(arena.normal(out));
    if (shape.option == 0) a.dtap_edge = arena.inout(arena.normal(taps * out));
    if (step.kind == CouplingKind::tanh)
      a.gain = arena.in(1), a.dgain = arena.inout(arena.normal(1));
  }
  a.dx = arena.out<float>(state);
  a.workspace = arena.workspace<float>(step_backward_workspace(grid, step.kind, n, moved, taps));
  return a;
}

}  // namespace rheo::test
