// Every line of the table of operations, on every backend variant, against the baseline.

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <span>
#include <string>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr double kBf16Ulp = 1.0 / 128;

/// Of |got - want| / (1 + |want|). 1e-5, some 80 ulp, is what a few roundings in another order and
/// two implementations of exp make; sums over pixels or a hidden width are given more.
double tolerance(const std::string& op) {
  static const std::map<std::string, double> sums = {
      {"step_backward", 1e-4},  // up to 1204 products of N(0, 1), in parts
      {"linear_forward", 3e-5},
      {"linear_backward_data", 3e-5},
      {"linear_backward_weights", 1e-4},
  };
  const auto found = sums.find(op);
  return found == sums.end() ? 1e-5 : found->second;
}

/// Values that tell nothing: never written, zero, or NaN.
double unused_share(const std::vector<double>& values) {
  double count = 0;
  for (double value : values)
    count += value == 0 || value == static_cast<double>(kSentinel) || std::isnan(value);
  return values.empty() ? 0 : count / static_cast<double>(values.size());
}

class ParityTest : public OnBackend {
 protected:
  template <class Args>
  void compare(const std::string& name, void (*Backend::*op)(const Args&, Stream),
               Args (*make)(Arena&, const CaseShape&),
               std::span<const CaseShape> shapes = kCaseShapes) {
    for (CaseShape shape : shapes)
      for (shape.option = 0; shape.option < kOptions; ++shape.option) {
        SCOPED_TRACE(testing::Message()
                     << shape.count << " x " << shape.height << " x " << shape.width << " x "
                     << shape.channels << ", option " << shape.option);
        const auto run = [&](const Backend& backend) {
          Arena arena(backend);
          (backend.*op)(make(arena, shape), nullptr);
          return arena.results();
        };
        same(run(backend()), run(baseline_variant()), tolerance(name), shape.count > 0);
        if (HasFailure()) return;
      }
  }

 private:
  void same(const std::vector<Output>& got, const std::vector<Output>& want, double tolerance,
            bool images) {
    ASSERT_EQ(got.size(), want.size());
    ASSERT_FALSE(want.empty()) << "a case without outputs shows nothing";
    for (std::size_t b = 0; b < want.size(); ++b) {
      const auto &g = got[b].values, &w = want[b].values;
      ASSERT_EQ(g.size(), w.size());
      if (images) {
        ASSERT_LE(unused_share(w), want[b].unused) << "output " << b << " is hardly written";
      }
      for (std::size_t i = 0; i < w.size(); ++i) {
        if (std::isnan(w[i]) && std::isnan(g[i])) continue;
        const double room = tolerance * (1 + std::abs(w[i]));
        ASSERT_NEAR(g[i], w[i], room + (want[b].bf16 ? kBf16Ulp * std::abs(w[i]) : 0))
            << "output " << b << ", value " << i;
      }
    }
  }
};

#define RHEO_OP(op, Args)                  \
  TEST_P(ParityTest, op) {                 \
    compare(#op, &Backend::op, op##_case); \
  }
#include "kernels/ops.def"
#undef RHEO_OP

RHEO_ON_EVERY_BACKEND(ParityTest);

class StepPartsTest : public ParityTest {};

// With a kernel of its own and without.
TEST_P(StepPartsTest, APartTakesSeveralTiles) {
  constexpr CaseShape kShapes[] = {{kMostParts + 90, 1, 2, 12}, {kMostParts + 90, 1, 2, 6}};
  compare("step_backward", &Backend::step_backward, step_backward_case, kShapes);
}

RHEO_ON_EVERY_BACKEND(StepPartsTest);

}  // namespace
}  // namespace rheo::test
