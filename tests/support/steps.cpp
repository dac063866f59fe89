#include "tests/support/steps.h"

#include <cmath>

namespace rheo::test {
namespace {

/// Well conditioned, so that the inverse does not blow roundings up.
std::vector<float> random_mix(Arena& arena, int n) {
  std::vector<float> mix = arena.normal(std::int64_t{n} * n, 0.3 / std::sqrt(n));
  for (int i = 0; i < n; ++i) mix[i * n + i] += 1;
  return mix;
}

struct Uploaded {
  Arena& arena;

  /// Draws values, keeps them in double, and returns them in the backend's memory.
  const float* operator()(std::vector<float> values, reference::Values& kept) const {
    kept = doubles(values);
    return arena.in(values);
  }
};

}  // namespace

std::vector<StepShape> step_shapes() {
  std::vector<StepShape> shapes;
  const Grid tiles{2, 9, 15}, small{3, 3, 5};
  for (CouplingKind kind : {CouplingKind::additive, CouplingKind::sigmoid2, CouplingKind::bounded})
    for (int taps : {9, 1})
      for (bool edge : {false, true})
        for (bool mix : {false, true}) {
          shapes.push_back({tiles, 6, kind, taps, edge, mix});
          shapes.push_back({small, mix ? 20 : 12, kind, taps, edge, mix});
        }
  for (bool edge : {false, true})
    for (bool mix : {false, true})
      shapes.push_back({tiles, edge ? 10 : 4, CouplingKind::sigmoid2, 0, edge, mix});
  // A pixel that is at two borders at once.
  for (const Grid& thin : {Grid{2, 1, 70}, {2, 70, 1}, {3, 1, 1}, {2, 2, 2}})
    shapes.push_back({thin, 4, CouplingKind::sigmoid2, 9, true, true});
  return shapes;
}

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

StepPair make_step(Arena& arena, const StepShape& s) {
  const std::int64_t pixels = s.grid.pixels(), state = pixels * s.channels;
  const int n = s.channels, out = coupling_outputs(s.kind, n), tiles = tiles_of(s.grid);
  const int column_taps = s.taps ? s.taps : 9;
  const Uploaded upload{arena};
  StepPair pair{};
  StepArgs& a = pair.args;
  reference::Step& want = pair.want;
  want.grid = a.grid = s.grid, want.channels = a.channels = n, want.kind = a.kind = s.kind;
  want.taps = s.taps;
  a.from = upload(arena.normal(state), want.from);
  a.to = arena.out<float>(state);
  a.taps.taps = s.taps;
  if (s.taps) {
    a.taps.data = upload(arena.normal(pixels * s.taps * out, 0.4), want.tap_data);
    a.taps.bias = upload(arena.normal(out, 0.4), want.tap_bias);
    if (s.edge) a.taps.edge = upload(arena.normal(std::int64_t{s.taps} * out), want.tap_edge);
  }
  a.log_det = {arena.out<float>(s.grid.count * (tiles + 2), 1) + 1, tiles + 2};
  if (s.taps && s.kind != CouplingKind::additive) a.raw = arena.out<float>(state / 2, 1);
  a.coupled = arena.out<float>(state);
  if (s.mix) {
    a.mix = upload(random_mix(arena, n), want.mix);
    a.bias = upload(arena.normal(n), want.bias);
  }
  const int stride = columns_stride(column_taps, n / 2, s.edge);
  a.columns = {
      arena.out<float>(pixels * stride, 1), Dtype::f32, column_taps, n / 2, stride, s.edge};
  return pair;
}

std::vector<double> log_dets(const Arena& arena, const StepArgs& a) {
  const int stride = a.log_det.stride;
  const std::vector<float> partials = arena.read(a.log_det.data - 1, a.grid.count * stride);
  std::vector<double> sums;
  for (std::int64_t n = 0; n < a.grid.count; ++n) {
    sums.push_back(0);
    for (int i = 1; i + 1 < stride; ++i)
      sums.back() += static_cast<double>(partials[n * stride + i]);
  }
  return sums;
}

}  // namespace rheo::test
