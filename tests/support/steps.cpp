#include "tests/support/steps.h"

#include <cmath>
#include <limits>

namespace rheo::test {
namespace {

/// Well conditioned, so that the inverse does not blow roundings up.
std::vector<float> random_mix(Arena& arena, int n) {
  std::vector<float> mix = arena.normal(std::int64_t{n} * n, 0.3 / std::sqrt(n));
  for (int i = 0; i < n; ++i) mix[i * n + i] += 1;
  return mix;
}

/// More of them than the CPU takes at once.
void add_vectors(std::vector<StepShape>& shapes) {
  for (CouplingKind kind : kCouplingKinds) {
    const Grid vectors{70, 1, 1};
    shapes.push_back({vectors, 1, kind, 1, false, false, 1});
    shapes.push_back({vectors, 2, kind, 1, false, false});
    shapes.push_back({vectors, 3, kind, 1, false, true});
    shapes.push_back({vectors, 5, kind, 1, false, true, 5});
  }
}

void add_odd(std::vector<StepShape>& shapes) {
  const Grid tiles{2, 5, 14}, small{3, 3, 5};
  for (CouplingKind kind : kCouplingKinds) {
    shapes.push_back({small, 3, kind, 9, true, true, 3});
    shapes.push_back({tiles, 5, kind, 9, true, true});
    shapes.push_back({tiles, 1, kind, 9, true, true, 1});
  }
  // More outputs than channels on more pixels than fit a block at once; and matrices of one row
  // and one column more, or one less, than a block holds.
  shapes.push_back({tiles, 48, CouplingKind::tanh, 1, false, true, 48});
  shapes.push_back({tiles, 48, CouplingKind::exponential, 9, true, false, 48});
  shapes.push_back({small, 33, CouplingKind::tanh, 9, true, true});
  shapes.push_back({small, 35, CouplingKind::exponential, 1, false, true, 35});
  // Dynamic shared memory just below what a GPU's block has without asking, and above it with the
  // kernel's variables: of a step, and of its backward.
  shapes.push_back({small, 60, CouplingKind::bounded, 1, false, true});
  shapes.push_back({small, 80, CouplingKind::bounded, 1, false, true});
  // Neither half: some pass, fewer or more move.
  shapes.push_back({tiles, 12, CouplingKind::sigmoid2, 9, true, true, 4});
  shapes.push_back({tiles, 12, CouplingKind::tanh, 9, true, true, 8});
}

struct Uploaded {
  Arena& arena;

  /// Draws values, keeps them in double, and returns them in the backend's memory.
  const float* operator()(std::vector<float> values, reference::Values& kept) const {
    kept = doubles(values);
    return arena.in(values);
  }
};

/// Rows of `used` values as rows of `stride`; nobody may read what is behind them.
std::vector<float> with_stride(const std::vector<float>& rows, int used, int stride) {
  const std::size_t from = used, to = stride;
  std::vector<float> all(rows.size() / from * to, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < rows.size(); ++i) all[i / from * to + i % from] = rows[i];
  return all;
}

}  // namespace

std::vector<StepShape> step_shapes() {
  std::vector<StepShape> shapes;
  const Grid tiles{2, 9, 15}, small{3, 3, 5};
  for (CouplingKind kind : kCouplingKinds)
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
  add_vectors(shapes);
  add_odd(shapes);
  return shapes;
}

std::string told(const StepShape& s) {
  return "kind " + std::to_string(static_cast<int>(s.kind)) + ", taps " + std::to_string(s.taps) +
         (s.edge ? ", edge" : "") + (s.mix ? ", mix" : "") + ", channels " +
         std::to_string(s.channels) + " of which pass " + std::to_string(s.passed()) + ", " +
         std::to_string(s.grid.count) + " x " + std::to_string(s.grid.height) + " x " +
         std::to_string(s.grid.width);
}

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

StepShape step_of(const CaseShape& shape) {
  constexpr CouplingKind kKinds[][kOptions] = {
      {CouplingKind::sigmoid2, CouplingKind::additive, CouplingKind::bounded,
       CouplingKind::sigmoid2},
      {CouplingKind::tanh, CouplingKind::exponential, CouplingKind::tanh, CouplingKind::additive}};
  constexpr int kTaps[] = {9, 1, 9, 0};
  const bool odd = shape.channels % 3 != 0;
  const int channels = shape.channels - odd, option = shape.option;
  return {shape.grid(),
          channels,
          kKinds[odd][option],
          kTaps[option],
          option != 2,
          option != 1,
          odd && option == 1 ? channels : StepShape::kHalf};
}

StepPair make_step(Arena& arena, const StepShape& s) {
  const std::int64_t pixels = s.grid.pixels(), state = pixels * s.channels;
  const int n = s.channels, moved = n - s.passed(), tiles = tiles_of(s.grid);
  const int out = coupling_outputs(s.kind, moved);
  // So that exp(raw) is of the size of the other kinds' scales.
  const double spread = s.kind == CouplingKind::exponential ? 0.25 : 1;
  const int column_taps = s.taps ? s.taps : 9;
  const Uploaded upload{arena};
  StepPair pair{};
  StepArgs& a = pair.args;
  reference::Step& want = pair.want;
  want.grid = a.grid = s.grid, want.channels = a.channels = n, want.kind = a.kind = s.kind;
  want.taps = s.taps, want.passed = a.passed = s.passed();
  a.from = upload(arena.normal(state), want.from);
  a.to = arena.out<float>(state);
  a.taps.taps = s.taps;
  if (s.taps) {
    const std::vector<float> taps = arena.normal(pixels * s.taps * out, 0.4 * spread);
    want.tap_data = doubles(taps);
    a.taps.stride = taps_stride(s.taps, out);
    a.taps.data = arena.in(with_stride(taps, s.taps * out, a.taps.stride));
    a.taps.bias = upload(arena.normal(out, 0.4 * spread), want.tap_bias);
    if (s.edge)
      a.taps.edge = upload(arena.normal(std::int64_t{s.taps} * out, spread), want.tap_edge);
    if (s.kind == CouplingKind::tanh) a.gain = upload({0.8f}, want.gain);
  }
  a.log_det = {arena.out<float>(s.grid.count * (tiles + 2), 1) + 1, tiles + 2};
  if (s.taps && s.kind != CouplingKind::additive)
    a.raw = arena.out<float>(pixels * coupling_kept(s.kind, moved), 1);
  a.coupled = arena.out<float>(state);
  if (s.mix) {
    a.mix = upload(random_mix(arena, n), want.mix);
    a.bias = upload(arena.normal(n), want.bias);
  }
  const int stride = columns_stride(column_taps, s.seen(), s.edge);
  a.columns = {
      arena.out<float>(pixels * stride, 1), Dtype::f32, column_taps, s.seen(), stride, s.edge};
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
