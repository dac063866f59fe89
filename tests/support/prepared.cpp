#include "tests/support/prepared.h"

#include <cmath>
#include <limits>

namespace rheo::test {
namespace {

using reference::Values;

void spoil(const Folds& f, std::vector<float>& parameters) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const MixFold& m : f.mixes)
    for (int k = 0; k < (m.lower < 0 ? 0 : m.channels * m.channels); ++k) {
      const int i = k / m.channels, j = k % m.channels;
      if (j >= i) parameters[m.lower + k] = kNan;
      if (j <= i) parameters[m.upper + k] = kNan;
    }
  for (const ProductFold& p : f.products)
    for (int k = 0; k < p.out * p.taps * p.in; ++k)
      if (!reference::made_sees(p, k / (p.taps * p.in), k % p.in)) parameters[p.weight + k] = kNan;
}

}  // namespace

Prepared make_weights(Arena& arena, const Folds& f, double deviation, Ignored ignored) {
  Prepared made;
  std::vector<float> parameters = arena.normal(f.parameters, deviation);
  if (ignored == Ignored::nan) spoil(f, parameters);
  made.parameters = {parameters.begin(), parameters.end()};
  for (std::int64_t i = 0; i < f.signs; ++i) made.signs.push_back(i % 3 ? 1.f : -1.f);
  for (const MixFold& m : f.mixes)
    for (int i = 0; i < m.channels; ++i)  // a cycle: not its own inverse
      made.permutations.push_back((i + 3) % m.channels);
  made.args = {.mixes = arena.in(f.mixes),
               .products = arena.in(f.products),
               .mix_count = static_cast<int>(f.mixes.size()),
               .product_count = static_cast<int>(f.products.size()),
               .parameters = arena.in(parameters),
               .signs = arena.in(made.signs),
               .permutations = arena.in(made.permutations),
               .folded = nullptr,
               .packed = nullptr,
               .log_det = nullptr,
               .workspace = arena.workspace<double>(f.workspace)};
  return made;
}

void add_outputs(Arena& arena, const Folds& f, void* packed, WeightsArgs& a) {
  a.folded = arena.out<float>(f.folded, 0.5);  // gaps, and permutations are mostly zeros
  a.packed = packed;
  a.log_det = arena.out<double>(a.mix_count);
}

void OnFolds::start(Folds folds, Ignored ignored) {
  folds_ = std::move(folds);
  made_ = make_weights(arena_, folds_, 0.4, ignored);
  add_outputs(arena_, folds_, arena_.out<std::uint8_t>(folds_.packed), made_.args);
  backend().weights_prepare(made_.args, nullptr);
}

Values OnFolds::folded() {
  const auto values = arena_.read(made_.args.folded, folds_.folded);
  return {values.begin(), values.end()};
}

double OnFolds::packed(Dtype type, std::int64_t bytes, std::int64_t i) {
  const char* first = static_cast<const char*>(made_.args.packed) + bytes;
  if (type == Dtype::f32) return arena_.read(reinterpret_cast<const float*>(first) + i, 1)[0];
  return from_bf16(arena_.read(reinterpret_cast<const Bf16*>(first) + i, 1)[0]);
}

double OnFolds::functional(const Values& parameters) {
  double sum = 0;
  for (const MixFold& m : folds_.mixes) {
    const Values mix = reference::mix_of(made_, parameters, m);
    for (int i = 0; i < m.channels; ++i)
      for (int j = 0; j < m.channels; ++j)
        sum += dy_[i] * mix[i * m.channels + j] * (z_[j] + reference::bias_of(parameters, m, j));
    sum += kWeight * reference::log_det_of(parameters, m);
  }
  for (const ProductFold& p : folds_.products)
    reference::for_each_folded(parameters, p, [&](std::int64_t at, double value, bool matrix) {
      sum += value * (matrix ? dpacked_[p.dmatrix + at] : dfolded_[at]);
    });
  return sum;
}

std::vector<float> OnFolds::incoming() {
  std::vector<float> values = arena_.normal(folds_.folded);
  for (const MixFold& m : folds_.mixes)
    for (int i = 0; i < m.channels; ++i) {
      values[m.folded_bias + i] = static_cast<float>(dy_[i]);
      for (int j = 0; j < m.channels; ++j)
        values[m.mix + i * m.channels + j] =
            static_cast<float>(dy_[i] * (z_[j] + reference::bias_of(made_.parameters, m, j)));
    }
  return values;
}

std::vector<float> OnFolds::expect_slopes(int tensors) {
  for (float value : arena_.normal(12)) dy_.push_back(value);
  for (float value : arena_.normal(12)) z_.push_back(value);
  const std::vector<float> dfolded = incoming(), dpacked = arena_.normal(folds_.dpacked);
  dfolded_ = {dfolded.begin(), dfolded.end()}, dpacked_ = {dpacked.begin(), dpacked.end()};
  float* gradient = arena_.out<float>(folds_.parameters);
  backend().weights_prepare_backward({.forward = made_.args,
                                      .dfolded = arena_.in(dfolded),
                                      .dpacked = arena_.in(dpacked),
                                      .dlog_det = kWeight,
                                      .dparameters = gradient},
                                     nullptr);
  const std::vector<float> got = arena_.read(gradient, folds_.parameters);
  constexpr double kStep = 1e-5;
  Values moved = made_.parameters;
  int gaps = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    moved[i] = made_.parameters[i] + kStep;
    const double above = functional(moved);
    moved[i] = made_.parameters[i] - kStep;
    const double slope = (above - functional(moved)) / (2 * kStep);
    moved[i] = made_.parameters[i];
    gaps += got[i] == kSentinel;
    // A functional of 1e2 over the step; entries come rounded to float32.
    const bool right = got[i] == kSentinel
                           ? std::abs(slope) < 1e-9
                           : std::abs(got[i] - slope) <= 3e-6 * (1 + std::abs(slope));
    EXPECT_TRUE(right) << "parameter " << i << ": " << got[i] << " for " << slope;
    if (!right) return got;
  }
  EXPECT_EQ(gaps, 1 + 3 * tensors) << "written, and nothing between";
  arena_.results();
  return got;
}

}  // namespace rheo::test
