// RealNVP, NICE, MAF and IAF: what must hold of every flow, on every device. That they are the
// published ones is shown by golden_test.cpp.

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "rheo/rheo.h"
#include "tests/reference/jacobian.h"
#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/gradients.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

struct Case {
  std::string name;
  ModelConfig config;
};

ModelConfig vectors(Family family, int dims, Permutation permutation = Permutation::reverse) {
  ModelConfig c = ModelConfig::of_vectors(family, dims);
  c.steps = 3, c.hidden = 9, c.permutation = permutation;
  return c;
}

std::vector<Case> cases() {
  ModelConfig image{.height = 4, .width = 4, .channels = 1, .levels = 2, .steps = 4, .hidden = 6};
  image.family = Family::realnvp, image.permutation = Permutation::reverse;
  image.scale = Scale::tanh;
  ModelConfig logistic = vectors(Family::nice, 3), bounded = vectors(Family::realnvp, 4);
  logistic.prior = Prior::logistic, bounded.scale = Scale::bounded;
  return {{"realnvp_2", vectors(Family::realnvp, 2)},
          {"realnvp_5_shuffle", vectors(Family::realnvp, 5, Permutation::shuffle)},
          {"realnvp_4_lu", vectors(Family::realnvp, 4, Permutation::lu)},
          {"realnvp_4_bounded", bounded},
          {"realnvp_image", image},
          {"nice_3_logistic", logistic},
          {"nice_6", vectors(Family::nice, 6)},
          {"maf_1", vectors(Family::maf, 1)},
          {"maf_4", vectors(Family::maf, 4)},
          {"maf_3_lu", vectors(Family::maf, 3, Permutation::lu)},
          {"iaf_1", vectors(Family::iaf, 1)},
          {"iaf_4", vectors(Family::iaf, 4)}};
}

Tensor values_like(const ModelConfig& c, std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, c.is_vector() ? 1.f : 0.3f);
  Tensor x{c.is_vector() ? Shape{count, c.channels} : Shape{count, c.height, c.width, c.channels},
           std::vector<float>(count * c.dims())};
  for (float& value : x.data) value = normal(random);
  return x;
}

Model moved_model(const ModelConfig& c, const Device& device) {
  Model model(c, 5, f32(device));
  model.initialize(values_like(c, 16, 1));
  move_parameters(model, c.is_vector() ? 0.1f : 0.02f);
  return model;
}

double log_prior(const ModelConfig& c, const std::vector<double>& latents) {
  double sum = 0;
  for (const double z : latents)
    sum += c.prior == Prior::logistic ? -z - 2 * std::log1p(std::exp(-z))
                                      : -0.5 * z * z - 0.5 * std::log(2 * M_PI);
  return sum;
}

class FamilyTest : public OnDevice {
 protected:
  template <class F>
  void for_each_case(const F& f) {
    for (const Case& c : cases()) {
      SCOPED_TRACE(c.name);
      Model model = moved_model(c.config, device());
      f(c.config, model);
    }
  }
};

// A few hundred roundings: steps of this size neither stretch nor shrink much.
TEST_P(FamilyTest, DecodeUndoesEncode) {
  for_each_case([](const ModelConfig& c, Model& model) {
    const Tensor x = values_like(c, 7, 2);
    const Tensor back = model.decode(model.encode(x));
    EXPECT_EQ(back.shape, x.shape);
    for (std::size_t i = 0; i < x.data.size(); ++i) EXPECT_NEAR(back.data[i], x.data[i], 2e-5);
  });
}

// log p(x) = log p(z) + log|det dz/dx|. Central differences of a float32 function: with steps of
// 1e-2 both its roundings (1e-7 / 1e-2) and the third derivatives (1e-4) stay below the bar.
TEST_P(FamilyTest, LogDetIsThatOfTheJacobian) {
  for_each_case([](const ModelConfig& c, Model& model) {
    const Tensor x = values_like(c, 1, 3);
    const auto encode = [&](const std::vector<double>& values) {
      const Tensor latents = model.encode({x.shape, {values.begin(), values.end()}});
      return std::vector<double>(latents.data.begin(), latents.data.end());
    };
    const std::vector<double> at(x.data.begin(), x.data.end());
    const double want =
        log_prior(c, encode(at)) + reference::log_abs_det_jacobian(encode, at, 1e-2);
    EXPECT_NEAR(model.log_prob(x)[0], want, 2e-3 * static_cast<double>(c.dims()));
  });
}

// Along a random direction of all parameters at once. ReLUs have kinks, which a step may cross:
// such a direction would be off by whole per cents of its slope, so the bar is wide; a gradient
// that lacks a part is far off, and the golden cases hold every single one to 1e-4.
TEST_P(FamilyTest, GradientIsThatOfDifferences) {
  for_each_case([&](const ModelConfig& c, Model& model) {
    const Tensor x = values_like(c, 5, 4);
    const Gradient gradient = gradient_of(model.impl(), x, {});
    std::vector<float> direction(gradient.parameters.size());
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    double slope = 0, size = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = normal(random);
      slope += static_cast<double>(direction[i]) * static_cast<double>(gradient.parameters[i]);
      size += std::pow(static_cast<double>(gradient.parameters[i]), 2);
    }
    const auto loss = [&](float step) {
      for (const ParameterInfo& tensor : model.impl().layout.tensors) {
        if (tensor.kind != ParameterInfo::Kind::trainable) continue;
        std::vector<float> values = model.impl().read(tensor);
        for (std::int64_t i = 0; i < tensor.size; ++i)
          values[i] += step * direction[tensor.offset + i];
        model.impl().write(tensor, values);
      }
      double sum = 0;
      for (const double value : model.log_prob(x)) sum -= value / 5;
      return sum;
    };
    constexpr float kStep = 1e-4f;
    const double high = loss(kStep), low = loss(-2 * kStep);
    EXPECT_NEAR((high - low) / (2.0 * static_cast<double>(kStep)), slope,
                0.02 * (std::abs(slope) + std::sqrt(size)));
  });
}

TEST_P(FamilyTest, StepsLeadFromDataToLatentsAndBack) {
  for (const Case& c : cases()) {
    if (!c.config.is_vector()) continue;
    SCOPED_TRACE(c.name);
    Model model = moved_model(c.config, device());
    const Tensor x = values_like(c.config, 6, 5);
    const Tensor latents = model.encode(x);
    EXPECT_EQ(model.encode_steps(x, 0).data, x.data);
    const Tensor back = model.decode_steps(latents, c.config.steps);
    for (std::size_t i = 0; i < x.data.size(); ++i) EXPECT_NEAR(back.data[i], x.data[i], 2e-5);
    for (int steps = 0; steps <= c.config.steps; ++steps) {
      const Tensor there = model.encode_steps(x, steps);
      const Tensor same = model.decode_steps(latents, c.config.steps - steps);
      for (std::size_t i = 0; i < x.data.size(); ++i)
        EXPECT_NEAR(there.data[i], same.data[i], 2e-5) << steps << " steps";
    }
  }
}

// One coupling moves the second half only, and a fixed permutation is undone for the viewer.
TEST_P(FamilyTest, EachStepMovesHalfOfTheCoordinates) {
  Model model = moved_model(vectors(Family::realnvp, 2), device());
  const Tensor x = values_like(model.config(), 1, 6);
  Tensor before = x;
  for (int steps = 1; steps <= 3; ++steps) {
    const Tensor after = model.encode_steps(x, steps);
    const int stays = steps % 2 ? 0 : 1;
    EXPECT_EQ(after.data[stays], before.data[stays]);
    EXPECT_NE(after.data[1 - stays], before.data[1 - stays]);
    before = after;
  }
}

// Whatever a fixed permutation is called, no coordinate is left as it came: of an odd number the
// middle one would be, by plain reversal.
TEST_P(FamilyTest, EveryCoordinateIsMoved) {
  for (const Family family : {Family::realnvp, Family::nice})
    for (const int dims : {2, 3, 5}) {
      SCOPED_TRACE(dims);
      Model model = moved_model(vectors(family, dims), device());
      const Tensor x = values_like(model.config(), 1, 6);
      const Tensor after = model.encode_steps(x, 3);
      for (int i = 0; i < dims; ++i) EXPECT_NE(after.data[i], x.data[i]) << i;
    }
  Model shuffled = moved_model(vectors(Family::realnvp, 2, Permutation::shuffle), device());
  const Tensor x = values_like(shuffled.config(), 1, 6);
  const Tensor after = shuffled.encode_steps(x, 3);
  for (int i = 0; i < 2; ++i) EXPECT_NE(after.data[i], x.data[i]) << i;
}

TEST_P(FamilyTest, SaveAndLoadKeepEveryBit) {
  for_each_case([](const ModelConfig& c, Model& model) {
    const TemporaryFolder folder;
    const std::string path = folder / "family.safetensors";
    model.save(path);
    Model loaded = Model::load(path, model.compute());
    EXPECT_EQ(loaded.config(), c);
    const Tensor x = values_like(c, 3, 7);
    EXPECT_EQ(loaded.log_prob(x), model.log_prob(x));
  });
}

template <class F>
void set(Model& model, const std::string& name, const F& f) {
  for (const ParameterInfo& tensor : model.impl().layout.tensors) {
    if (tensor.name != name) continue;
    const std::int64_t columns = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
    std::vector<float> values(tensor.size);
    for (std::int64_t i = 0; i < tensor.size; ++i) values[i] = f(i / columns, i % columns);
    model.impl().write(tensor, values);
  }
}

/// An autoregressive layer of five coordinates x, each with log scale alpha_i = |x_i-1| up to a
/// factor, alpha_0 = -6, and mu_3 = |x_2|; all times `sign`, but for mu.
Model tower(Family family, float sign, const Device& device) {
  constexpr int kDims = 5, kDegrees = kDims - 1;
  ModelConfig c = vectors(family, kDims);
  c.steps = 1, c.hidden = 2 * kDegrees;
  Model model(c, 5, f32(device));
  const std::string layer = "steps.0.made.linear";
  for (const char* bias : {"1.bias", "2.bias"})
    set(model, layer + bias, [](auto, auto) { return 0.f; });
  set(model, layer + "1.weight", [](auto h, auto i) {  // x, then -x
    return h % kDegrees != i ? 0.f : h < kDegrees ? 1.f : -1.f;
  });
  set(model, layer + "2.weight", [](auto h, auto i) {
    return h != i ? 0.f : h % kDegrees == 2 ? 20.f : 1.f;
  });
  set(model, layer + "3.weight", [&](auto o, auto h) {
    const auto of = h % kDegrees;
    if (o == 3 && of == 2) return 0.05f;
    constexpr float kFactors[] = {4, 1, 0.05f, 1};
    return o == kDims + of + 1 ? sign * kFactors[of] : 0.f;
  });
  set(model, layer + "3.bias", [&](auto o, auto) { return o == kDims ? -6 * sign : 0.f; });
  return model;
}

// A first guess of the coordinates, as good as none, is far off in number 0 alone; but number 1 is
// off by e^10 for it, number 2 by e^87, and 20 times that is infinite.
TEST_P(FamilyTest, InverseOfAnAutoregressiveLayerSeesNoUnsettledCoordinate) {
  const Tensor seen{
      {3, 5}, {0.0065f, 1, 1, 0.5f, 0.3f, -0.0062f, -0.9f, 1.2f, -1, 1, 0.007f, 1.1f, 0.8f, 0, -2}};
  for (const Family family : {Family::maf, Family::iaf}) {
    const bool maf = family == Family::maf;
    Model model = tower(family, maf ? 1.f : -1.f, device());
    const Tensor there = maf ? model.encode(seen) : model.decode(seen);
    const Tensor back = maf ? model.decode(there) : model.encode(there);
    // Towards what the network sees no coordinate is stretched by more than e^1.2, so that its
    // error is some roundings of numbers below 3.
    for (std::size_t i = 0; i < 15; ++i) EXPECT_NEAR(back.data[i], seen.data[i], 3e-6) << i;
  }
}

RHEO_ON_EVERY_DEVICE(FamilyTest);

TEST(FamilyRefusalTest, SaysWhatDoesNotGoTogether) {
  const auto refuse = [](ModelConfig c, const char* text) {
    expect_error([&] { Model{c}; }, Errc::invalid_argument, text);
  };
  refuse(ModelConfig::of_vectors(Family::realnvp, 1),
         "model config: dims of realnvp must be 2..1024; got 1");
  refuse(ModelConfig::of_vectors(Family::glow, 2),
         "model config: glow takes images, levels >= 1; got levels 0");
  ModelConfig image;
  image.family = Family::maf;
  refuse(image, "model config: maf takes vectors (dims, levels 0); got levels 3");
  ModelConfig nice = ModelConfig::of_vectors(Family::nice, 4);
  nice.coupling = Coupling::affine;
  refuse(nice, "model config: coupling of nice must be additive; got affine");

  Model model(ModelConfig::of_vectors(Family::realnvp, 2));
  expect_error(
      [&] {
        model.log_prob({{1, 3}, {0, 0, 0}});
      },
      Errc::invalid_argument, "Model::log_prob: x must be [N, 2], vectors; got [1, 3]");
  expect_error(
      [&] {
        model.encode_steps({{1, 2}, {0, 0}}, 5);
      },
      Errc::invalid_argument, "Model::encode_steps: steps must be 0..4, those of the model; got 5");
  expect_error([&] { plan_training(Model(vectors(Family::iaf, 2)), {}, Memory::invert); },
               Errc::invalid_argument,
               "Trainer: memory of autoregressive models (maf, iaf) must be full");
}

}  // namespace
}  // namespace rheo::test
