// The products and Adam of rheo/kernels.h, on every device, against plain loops.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rheo/error.h"
#include "rheo/kernels.h"
#include "src/arena.h"
#include "tests/support/cases.h"
#include "tests/support/devices.h"
#include "tests/support/errors.h"

namespace rheo::test {
namespace {

using Values = std::vector<float>;

class KernelsApiTest : public OnDevice {
 protected:
  DeviceBuffer put(const Values& values) const {
    DeviceBuffer buffer(queue_, values.size() * sizeof(float), "test");
    buffer.upload(values.data(), buffer.bytes());
    queue_.synchronize();  // the calls are queued on another stream, the null one
    return buffer;
  }

  Values get(const DeviceBuffer& buffer) const {
    device().backend().synchronize(nullptr);
    Values values(buffer.bytes() / sizeof(float));
    buffer.download(values.data(), buffer.bytes());
    return values;
  }

  DeviceBuffer adam_state() const {
    DeviceBuffer state(queue_, adam_state_bytes(), "test");
    state.clear();
    queue_.synchronize();
    return state;
  }

  /// One update of what these hold.
  void update(double rate, double clip_norm, const DeviceBuffer& gradient, const DeviceBuffer& w,
              const DeviceBuffer& m, const DeviceBuffer& v, const DeviceBuffer& state) const {
    adam_update(device(),
                {.size = static_cast<std::int64_t>(gradient.bytes() / sizeof(float)),
                 .gradient = gradient.as<float>(),
                 .parameters = w.as<float>(),
                 .first = m.as<float>(),
                 .second = v.as<float>(),
                 .state = state.as<void>(),
                 .learning_rate = rate,
                 .clip_norm = clip_norm},
                nullptr);
  }

 private:
  DeviceScope scope_{device()};
  Queue queue_{device()};
};

/// Small integers: products and sums of them are exact in float32, in whatever order.
Values integers(int count, int seed) {
  Values values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<float>((i * 7 + seed * 5) % 9 - 4));
  return values;
}

constexpr int kRows = 19, kIn = 6, kOut = 5;

TEST_P(KernelsApiTest, ALayerIsItsProduct) {
  const Values x = integers(kRows * kIn, 1), w = integers(kOut * kIn, 2), b = integers(kOut, 3);
  const DeviceBuffer dx = put(x), dw = put(w), db = put(b), dy = put(Values(kRows * kOut));
  for (const bool bias : {false, true})
    for (const bool relu : {false, true}) {
      linear_forward(device(),
                     {.rows = kRows,
                      .in = kIn,
                      .out = kOut,
                      .x = dx.as<float>(),
                      .weight = dw.as<float>(),
                      .y = dy.as<float>(),
                      .bias = bias ? db.as<float>() : nullptr,
                      .relu = relu},
                     nullptr);
      const Values y = get(dy);
      for (int r = 0; r < kRows; ++r)
        for (int o = 0; o < kOut; ++o) {
          float want = bias ? b[o] : 0;
          for (int i = 0; i < kIn; ++i) want += x[r * kIn + i] * w[o * kIn + i];
          ASSERT_EQ(y[r * kOut + o], relu && want < 0 ? 0 : want) << r << ", " << o;
        }
    }
}

TEST_P(KernelsApiTest, AGradientByDataPassesTheReLUThatTheInputCameFrom) {
  const Values dy = integers(kRows * kOut, 4), w = integers(kOut * kIn, 5);
  const Values x = integers(kRows * kIn, 6);
  const DeviceBuffer on_dy = put(dy), on_w = put(w), on_x = put(x), on_dx = put(x);
  for (const bool relu : {false, true}) {
    linear_backward_data(device(),
                         {.rows = kRows,
                          .in = kIn,
                          .out = kOut,
                          .dy = on_dy.as<float>(),
                          .weight = on_w.as<float>(),
                          .dx = on_dx.as<float>(),
                          .x = relu ? on_x.as<float>() : nullptr},
                         nullptr);
    const Values dx = get(on_dx);
    for (int r = 0; r < kRows; ++r)
      for (int i = 0; i < kIn; ++i) {
        float want = 0;
        for (int o = 0; o < kOut; ++o) want += dy[r * kOut + o] * w[o * kIn + i];
        ASSERT_EQ(dx[r * kIn + i], relu && x[r * kIn + i] <= 0 ? 0 : want) << r << ", " << i;
      }
  }
}

TEST_P(KernelsApiTest, GradientsByWeightsAreAdded) {
  const Values dy = integers(kRows * kOut, 7), x = integers(kRows * kIn, 8);
  const Values w = integers(kOut * kIn, 9), b = integers(kOut, 10);  // what is there already
  const DeviceBuffer on_dy = put(dy), on_x = put(x), on_w = put(w), on_b = put(b);
  linear_backward_weights(device(),
                          {.rows = kRows,
                           .in = kIn,
                           .out = kOut,
                           .dy = on_dy.as<float>(),
                           .x = on_x.as<float>(),
                           .dweight = on_w.as<float>(),
                           .dbias = on_b.as<float>()},
                          nullptr);
  const Values dw = get(on_w), db = get(on_b);
  for (int o = 0; o < kOut; ++o) {
    float bias = b[o];
    for (int r = 0; r < kRows; ++r) bias += dy[r * kOut + o];
    EXPECT_EQ(db[o], bias) << o;
    for (int i = 0; i < kIn; ++i) {
      float want = w[o * kIn + i];
      for (int r = 0; r < kRows; ++r) want += dy[r * kOut + o] * x[r * kIn + i];
      EXPECT_EQ(dw[o * kIn + i], want) << o << ", " << i;
    }
  }
}

TEST_P(KernelsApiTest, AdamIsItsAlgorithm) {
  constexpr int kSize = 5, kUpdates = 4;
  constexpr double kRate = 0.1, kClip = 6;
  const Values start = {1, -2, 0, 4, 0.5};
  const DeviceBuffer w = put(start), m = put(Values(kSize)), v = put(Values(kSize));
  const DeviceBuffer state = adam_state();
  std::vector<double> want(start.begin(), start.end()), want_m(kSize), want_v(kSize);
  for (int t = 1; t <= kUpdates; ++t) {
    const Values g = integers(kSize, t);
    double squares = 0;
    for (const float value : g) squares += double(value) * double(value);
    const double clip = std::min(1., kClip / std::sqrt(squares));
    for (int i = 0; i < kSize; ++i) {
      const double gradient = clip * double(g[i]);
      want_m[i] = 0.9 * want_m[i] + 0.1 * gradient;
      want_v[i] = 0.999 * want_v[i] + 0.001 * gradient * gradient;
      want[i] -= kRate * want_m[i] / (1 - std::pow(0.9, t)) /
                 (std::sqrt(want_v[i] / (1 - std::pow(0.999, t))) + 1e-8);
    }
    const DeviceBuffer gradient = put(g);
    update(kRate, kClip, gradient, w, m, v, state);
  }
  const Values got = get(w);
  // Float32 at each of four updates of about 0.1.
  for (int i = 0; i < kSize; ++i) EXPECT_NEAR(got[i], want[i], 2e-6) << i;
}

TEST_P(KernelsApiTest, AdamSkipsAGradientThatIsNotFinite) {
  const Values start = {1, 2};
  const DeviceBuffer w = put(start), m = put({0, 0}), v = put({0, 0}), state = adam_state();
  const auto step = [&](const Values& g) { update(0.5, 0, put(g), w, m, v, state); };
  step({1, std::numeric_limits<float>::quiet_NaN()});
  step({-std::numeric_limits<float>::infinity(), 1});
  EXPECT_EQ(get(w), start);
  EXPECT_EQ(get(m), (Values{0, 0}));
  step({1, -1});  // the first that counts: Adam's first update is the rate itself
  const Values got = get(w);
  EXPECT_NEAR(got[0], 0.5, 1e-6);
  EXPECT_NEAR(got[1], 2.5, 1e-6);
}

TEST_P(KernelsApiTest, AdamSkipsWhereAParameterIsNotFiniteOrASquareIsTooLarge) {
  const auto unchanged = [&](float parameter, float gradient) {
    const DeviceBuffer g = put({1, gradient}), w = put({parameter, 2}), state = adam_state();
    const DeviceBuffer m = put({0, 0}), v = put({0, 0});
    update(0.5, 0, g, w, m, v, state);
    return get(m) == Values{0, 0} && get(v) == Values{0, 0} && get(w)[1] == 2;
  };
  EXPECT_FALSE(unchanged(1, 1));
  EXPECT_TRUE(unchanged(std::numeric_limits<float>::quiet_NaN(), 1));
  EXPECT_TRUE(unchanged(std::numeric_limits<float>::infinity(), 1));
  EXPECT_TRUE(unchanged(1, 1e20f));  // its square would be 1e40
}

TEST_P(KernelsApiTest, NoRowsAreNoWork) {
  const DeviceBuffer w = put({3});
  linear_forward(device(), {0, 1, 1, nullptr, nullptr, nullptr}, nullptr);
  linear_backward_data(device(), {0, 1, 1, nullptr, nullptr, nullptr}, nullptr);
  linear_backward_weights(device(), {0, 1, 1, nullptr, nullptr, w.as<float>()}, nullptr);
  EXPECT_EQ(get(w), Values{3});
}

RHEO_ON_EVERY_DEVICE(KernelsApiTest);

TEST(KernelsApiRefusalTest, SizesAndPointers) {
  const Device cpu = Device::cpu(1);
  Values some(16);
  float* p = some.data();
  EXPECT_EQ(
      error_of([&] {
        linear_forward(cpu, {1, 0, 1, p, p, p}, nullptr);
      }),
      "linear_forward: sizes must be positive, at most 65536 but for the first, and hold at most "
      "2^40 values; got [1, 1, 1, 0]");
  EXPECT_EQ(error_of([&] {
              linear_forward(cpu, {1, 2, 2, p, nullptr, p}, nullptr);
            }),
            "linear_forward: weight must not be null");
  EXPECT_EQ(error_of([&] {
              linear_backward_data(cpu, {1, 2, 2, p, p, nullptr}, nullptr);
            }),
            "linear_backward_data: dx must not be null");
  EXPECT_EQ(error_of([&] {
              linear_backward_weights(cpu, {1, 2, 2, p, nullptr, p}, nullptr);
            }),
            "linear_backward_weights: x must not be null");
}

TEST(KernelsApiRefusalTest, ACallersOwnStreamOfProductsOnAGpu) {
  Values some(4);
  float* p = some.data();
  for (const Device& gpu : gpus()) {
    const DeviceScope scope(gpu);
    const Queue own(gpu);
    const auto refusal = [&](const auto& product, const auto& call) {
      return error_of([&] { product(gpu, call, own.stream()); });
    };
    const std::string rule = ": stream must be null on a CUDA device";
    EXPECT_EQ(refusal(linear_forward, LinearCall{1, 1, 1, p, p, p}), "linear_forward" + rule);
    EXPECT_EQ(refusal(linear_backward_data, LinearBackwardDataCall{1, 1, 1, p, p, p}),
              "linear_backward_data" + rule);
    EXPECT_EQ(refusal(linear_backward_weights, LinearBackwardWeightsCall{1, 1, 1, p, p, p}),
              "linear_backward_weights" + rule);
  }
}

TEST(KernelsApiRefusalTest, OptionsOfAdam) {
  const Device cpu = Device::cpu(1);
  Values some(4);
  std::vector<double> state(adam_state_bytes() / sizeof(double));
  float* p = some.data();
  const auto refusal = [&](double rate, double beta2, double epsilon, double clip, void* at) {
    return error_of([&] {
      adam_update(cpu, {1, p, p, p, p, at, rate, 0.9, beta2, epsilon, clip}, nullptr);
    });
  };
  EXPECT_EQ(refusal(-1, 0.99, 1e-8, 0, state.data()),
            "adam_update: learning_rate must be finite and at least 0; got -1");
  EXPECT_EQ(refusal(1, 1, 1e-8, 0, state.data()), "adam_update: beta2 must be in [0, 1); got 1");
  EXPECT_EQ(refusal(1, 0.99, 0, 0, state.data()),
            "adam_update: epsilon must be positive and finite; got 0");
  EXPECT_EQ(refusal(1, 0.99, 1e-8, -2, state.data()),
            "adam_update: clip_norm must be at least 0; got -2");
  EXPECT_EQ(refusal(1, 0.99, 1e-8, 0, nullptr), "adam_update: state must not be null");
  EXPECT_EQ(refusal(1, 0.99, 1e-8, 0, reinterpret_cast<char*>(state.data()) + 4),
            "adam_update: state must be aligned to 8 bytes");
}

}  // namespace
}  // namespace rheo::test
