// What training keeps of a forward pass must not change its gradient.

#include <gtest/gtest.h>

#include <system_error>

#include "src/check.h"
#include "tests/support/devices.h"
#include "tests/support/gradients.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

struct Case {
  const char* name;
  ModelConfig config;
};

std::vector<Case> cases() {
  ModelConfig plain = small(), labelled = small(3), additive = small(1);
  labelled.height = labelled.width = 8;
  labelled.classes = 2, labelled.edge_bias = true, labelled.scale = Scale::bounded;
  additive.coupling = Coupling::additive, additive.channels = 1;
  ModelConfig vectors = ModelConfig::of_vectors(Family::realnvp, 5), masked = small();
  vectors.hidden = 9, vectors.prior = Prior::logistic;
  masked.family = Family::realnvp, masked.scale = Scale::tanh;
  masked.permutation = Permutation::reverse;
  return {{"plain", plain},
          {"labelled", labelled},
          {"additive", additive},
          {"vectors", vectors},
          {"masked", masked}};
}

class MemoryTest : public OnDevice {
 protected:
  /// f(gradient in full, gradient in `keep`, what) for each case and precision.
  template <class F>
  void compare(Keep keep, const F& f) {
    for (const Case& c : cases())
      for (const Precision precision : {Precision::f32, Precision::bf16}) {
        if (precision == Precision::bf16 && !device().backend().has_bf16()) continue;
        SCOPED_TRACE(testing::Message() << c.name << ", bf16 " << (precision == Precision::bf16));
        Model model = random_model(c.config, {.device = device(), .precision = precision});
        const Tensor x = noise_images(c.config, 3, 7);
        const Labels labels = c.config.classes ? Labels{1, 0, 1} : Labels{};
        f(gradient_of(model.impl(), x, labels), gradient_of(model.impl(), x, labels, keep));
      }
  }

  std::size_t bytes(const ModelConfig& config, Precision precision, Keep keep) const {
    return Model(config, 0, {.device = device(), .precision = precision})
        .impl()
        .activation_bytes(4, keep);
  }
};

TEST(GuardedTest, AThreadThatCannotBeginIsAMatterOfMemory) {
  expect_error(
      [] {
        guarded("Trainer", [] {
          throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
        });
      },
      Errc::out_of_memory, "Trainer: no memory for another thread, or too many of them");
}

TEST_P(MemoryTest, StateGivesTheGradientOfFullBitForBit) {
  compare(Keep::state, [](const Gradient& full, const Gradient& state) {
    EXPECT_EQ(state.parameters, full.parameters);
    EXPECT_EQ(state.x, full.x);
  });
}

// The bar of the design. Steps of this size invert to some 1e-6.
TEST_P(MemoryTest, InvertComesNearTheGradientOfFull) {
  compare(Keep::invert, [](const Gradient& full, const Gradient& invert) {
    EXPECT_LT(relative_l2(invert.parameters.data(), full.parameters), 1e-4);
    EXPECT_LT(relative_l2(invert.x.data(), full.x), 1e-4);
  });
}

TEST_P(MemoryTest, InvertIsFlatInDepthAndStateGrowsSlowly) {
  ModelConfig one = small(), many = small();
  one.hidden = many.hidden = 64;
  one.steps = 1, many.steps = 9;
  const auto growth = [&](Precision precision, Keep keep) {
    return bytes(many, precision, keep) - bytes(one, precision, keep);
  };
  // Beside the partials of the log-det, 4 bytes a tile and step.
  const std::size_t pixels = 4 * (4 * 6 + 2 * 3), partials = 8 * (4 * 2) * sizeof(float) + 64;
  EXPECT_LE(growth(Precision::f32, Keep::invert), partials);
  EXPECT_LT(growth(Precision::f32, Keep::state), growth(Precision::f32, Keep::full) / 4);
  if (!device().backend().has_bf16()) return;
  // C bytes a pixel and step: 12 channels on the first level, 24 on the second; pieces start on 64.
  EXPECT_LE(growth(Precision::bf16, Keep::invert), 8 * (pixels * 24 + 2 * 64) + partials);
}

RHEO_ON_EVERY_DEVICE(MemoryTest);

/// The same backend, but with networks that work on as few pixels at once as they ever do.
class PartsTest : public OnDevice {
 protected:
  void compare(const ModelConfig& config, std::int64_t count, std::vector<Keep> modes) {
    Backend backend = device().backend();
    backend.network_bytes = 1;
    Model whole = random_model(config, f32(device()));
    Model parts(config, 0, f32(DeviceAccess::of(backend)));
    for (const ParameterInfo& tensor : whole.impl().layout.tensors)
      parts.impl().write(tensor, whole.impl().read(tensor));
    const LevelLayout& first = whole.impl().layout.levels[0];
    const std::int64_t rows = parts.impl().flow.rows_at_once();
    ASSERT_LT(3 * rows, count * first.height * first.width);
    ASSERT_GT(whole.impl().flow.rows_at_once(), count * first.height * first.width);
    const Tensor x = noise_images(config, count, 7);
    for (const Keep keep : modes) {
      SCOPED_TRACE(static_cast<int>(keep));
      const Gradient want = gradient_of(whole.impl(), x, {}, keep);
      const Gradient got = gradient_of(parts.impl(), x, {}, keep);
      // Sums of a thousand terms in float32, in another order.
      EXPECT_LT(relative_l2(got.parameters.data(), want.parameters), 1e-5);
      EXPECT_LT(relative_l2(got.x.data(), want.x), 1e-5);
    }
  }
};

TEST_P(PartsTest, ImagesInPartsGiveTheGradientOfTheWhole) {
  ModelConfig config = small(1);
  config.height = 32, config.width = 40;
  compare(config, 3, {Keep::full, Keep::state, Keep::invert});
}

TEST_P(PartsTest, VectorsInPartsGiveTheGradientOfTheWhole) {
  for (const Family family : {Family::realnvp, Family::iaf}) {
    ModelConfig config = ModelConfig::of_vectors(family, 3);
    config.hidden = 9, config.steps = 3;
    compare(config, 900, {Keep::full});
  }
}

RHEO_ON_EVERY_DEVICE(PartsTest);

}  // namespace
}  // namespace rheo::test
