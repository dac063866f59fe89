#include "kernels/adam.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/backends.h"
#include "tests/support/cases.h"

namespace rheo::test {
namespace {

constexpr AdamKind kKinds[] = {AdamKind::adam, AdamKind::adamax, AdamKind::adamax_openai};

/// The published algorithms in double, a step at a time.
struct Reference {
  AdamKind kind;
  double rate, beta1, beta2, epsilon, clip_norm, average_decay;
  std::vector<double> w, m, v, average;
  double norm = 0;
  int t = 0;

  void step(const std::vector<float>& gradient) {
    ++t;
    norm = 0;
    for (float g : gradient) norm += static_cast<double>(g) * static_cast<double>(g);
    norm = std::sqrt(norm);
    const double clip = clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
    for (std::size_t i = 0; i < w.size(); ++i) move(i, clip * static_cast<double>(gradient[i]));
    const double decay = std::min(average_decay, (t - 1.0) / t);
    for (std::size_t i = 0; i < w.size(); ++i) average[i] = decay * average[i] + (1 - decay) * w[i];
  }

  void move(std::size_t i, double g) {
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    const double unbiased = m[i] / (1 - std::pow(beta1, t)), left = 1 - std::pow(beta2, t);
    if (kind == AdamKind::adam) {
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      w[i] -= rate * unbiased / (std::sqrt(v[i] / left) + epsilon);
    } else {
      v[i] = std::max(beta2 * v[i], std::abs(g));
      // The published Glow program corrects the largest gradient's bias as Adam does its mean's.
      const double root = kind == AdamKind::adamax_openai ? std::sqrt(left) : 1;
      w[i] -= rate * root * unbiased / (v[i] + epsilon);
    }
  }
};

class AdamTest : public OnBackend {
 protected:
  static constexpr std::int64_t kSize = 1003;  // not a whole number of parts
  static constexpr std::int64_t kImages = 3;

  AdamArgs arguments(AdamKind kind) {
    const std::vector<float> zero(kSize, 0.f);
    start_ = arena_.normal(kSize);
    return {.control = arena_.inout(std::vector<AdamControl>{{0.01, 0, 0, 0}}),
            .log_prob = arena_.inout(std::vector<double>(kImages, -3000.0)),
            .log_prob_count = kImages,
            .gradient = arena_.inout(zero),
            .parameters = arena_.inout(start_),
            .first = arena_.inout(zero),
            .second = arena_.inout(zero),
            .average = arena_.inout(start_),
            .size = kSize,
            .kind = kind,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .epsilon = 1e-8,
            .clip_norm = 30,  // the gradients' norms lie on both sides
            .average_decay = 0.7,
            .workspace = arena_.workspace<double>(kAdamParts)};
  }

  Reference reference(const AdamArgs& a) {
    const std::vector<double> start(start_.begin(), start_.end()), zero(kSize, 0.0);
    return {a.kind,          0.01,  a.beta1, a.beta2, a.epsilon, a.clip_norm,
            a.average_decay, start, zero,    zero,    start};
  }

  void step(const AdamArgs& a, const std::vector<float>& gradient) {
    upload(a.gradient, gradient);
    backend().adam_norm(a, nullptr);
    backend().adam_update(a, nullptr);
  }

  template <class T>
  void upload(const T* to, const std::vector<T>& values) {
    backend().copy(const_cast<T*>(to), values.data(), values.size() * sizeof(T), nullptr);
  }

  AdamControl control(const AdamArgs& a) { return arena_.read(a.control, 1)[0]; }

  void expect_close(const float* got, const std::vector<double>& want, const char* what) {
    const std::vector<float> values = arena_.read(got, kSize);
    // Ten steps of some roundings in float32 each.
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(values[i], want[i], 2e-6 * (1 + std::abs(want[i]))) << what << " " << i;
  }

  Arena arena_{backend()};
  std::vector<float> start_;
};

TEST_P(AdamTest, TenStepsAreThoseOfThePublishedAlgorithm) {
  for (AdamKind kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    const AdamArgs a = arguments(kind);
    Reference want = reference(a);
    int clipped = 0;
    for (int t = 1; t <= 10; ++t) {
      const std::vector<float> gradient = arena_.normal(kSize, t % 2 ? 0.1 : 2);
      step(a, gradient);
      want.step(gradient);
      clipped += want.norm > a.clip_norm;
      EXPECT_NEAR(control(a).norm, want.norm, 1e-12 * want.norm);
      EXPECT_EQ(control(a).updates, t);
      EXPECT_EQ(control(a).skip, 0);
    }
    EXPECT_EQ(clipped, 5);
    expect_close(a.parameters, want.w, "parameter");
    expect_close(a.first, want.m, "first moment");
    expect_close(a.second, want.v, "second moment");
    expect_close(a.average, want.average, "average");
  }
}

TEST_P(AdamTest, ClippingAndAverageMayBeLeftOut) {
  AdamArgs a = arguments(AdamKind::adam);
  a.clip_norm = 0;
  a.average = nullptr;
  Reference want = reference(a);
  const std::vector<float> gradient = arena_.normal(kSize, 50);
  step(a, gradient);
  want.step(gradient);
  expect_close(a.parameters, want.w, "parameter");
  expect_close(a.first, want.m, "first moment");
}

TEST_P(AdamTest, AStepThatIsNotFiniteChangesNothing) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (AdamKind kind : kKinds) {
    const AdamArgs a = arguments(kind);
    const std::vector<float> good = arena_.normal(kSize);
    step(a, good);
    const auto state = [&] {
      std::vector<std::vector<float>> all;
      for (const float* values : {a.parameters, a.first, a.second, a.average})
        all.push_back(arena_.read(values, kSize));
      return all;
    };
    const auto before = state();
    for (float bad : {nan, infinity, -infinity}) {
      std::vector<float> gradient = good;
      gradient[kSize - 1] = bad;
      step(a, gradient);
      EXPECT_EQ(control(a).skip, 1);
      upload(a.log_prob, {-1.0, static_cast<double>(bad), -1.0});
      step(a, good);
      EXPECT_EQ(control(a).skip, 1);
      upload(a.log_prob, std::vector<double>(kImages, -3000.0));
      for (const std::size_t at : {std::size_t{0}, std::size_t{kSize - 1}}) {
        std::vector<float> spoilt = before[0];
        spoilt[at] = bad;
        upload(a.parameters, spoilt);
        step(a, good);
        EXPECT_EQ(control(a).skip, 1) << "of weight " << at;
        upload(a.parameters, before[0]);
      }
    }
    EXPECT_EQ(control(a).updates, 1);
    EXPECT_EQ(state(), before);
    step(a, good);
    EXPECT_EQ(control(a).skip, 0) << "a bad step is forgotten";
    EXPECT_EQ(control(a).updates, 2);
    EXPECT_NE(state(), before);
  }
}

TEST_P(AdamTest, AStepWhoseSquaresAreNotFiniteChangesNothing) {
  AdamArgs a = arguments(AdamKind::adam);
  std::vector<float> gradient = arena_.normal(kSize);
  gradient[1] = 2e19f;  // its square is above what float32 holds
  step(a, gradient);
  EXPECT_EQ(control(a).skip, 0) << "it is clipped";
  a.clip_norm = 0;
  const std::vector<float> before = arena_.read(a.second, kSize);
  step(a, gradient);
  EXPECT_EQ(control(a).skip, 1);
  EXPECT_EQ(arena_.read(a.second, kSize), before);
}

TEST_P(AdamTest, BitsDependNotOnThreads) {
  std::vector<std::vector<float>> results;
  const std::vector<float> gradient = arena_.normal(kSize, 3), start = arena_.normal(kSize);
  for (int threads : {1, 2, 3}) {
    backend().set_threads(threads);
    const AdamArgs a = arguments(AdamKind::adam);
    upload(a.parameters, start);
    step(a, gradient);
    results.push_back(arena_.read(a.parameters, kSize));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

RHEO_ON_EVERY_BACKEND(AdamTest);

AdamArgs adam_case(Arena& arena, const CaseShape& shape) {
  const std::int64_t size = shape.pixels() * shape.channels;
  const std::int64_t shift = shape.option == 2;  // to where no vector begins
  std::vector<float> second = arena.normal(size + shift);
  for (float& value : second) value = std::abs(value);
  const auto values = [&] { return arena.normal(size + shift); };
  return {.control = arena.inout(std::vector<AdamControl>{{1e-3, 2.5, 4, 0}}, 0.5),
          .log_prob = arena.in(std::vector<double>(static_cast<std::size_t>(shape.count), -100)),
          .log_prob_count = shape.count,
          .gradient = arena.in(values()) + shift,
          .parameters = arena.inout(values()) + shift,
          .first = arena.inout(values()) + shift,
          .second = arena.inout(second) + shift,
          .average = shape.option == 3 ? nullptr : arena.inout(values()) + shift,
          .size = size,
          .kind = kKinds[shape.option % 3],
          .beta1 = 0.9,
          .beta2 = 0.999,
          .epsilon = 1e-8,
          .clip_norm = shape.option ? 1.5 : 0,
          .average_decay = 0.99,
          .workspace = arena.workspace<double>(kAdamParts)};
}

}  // namespace

AdamArgs adam_norm_case(Arena& arena, const CaseShape& shape) {
  return adam_case(arena, shape);
}

AdamArgs adam_update_case(Arena& arena, const CaseShape& shape) {
  return adam_case(arena, shape);
}

}  // namespace rheo::test
