#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/models.h"

namespace rheo::test {
namespace {

/// Every value of a tensor.
void set(Model& model, const std::string& name, float value) {
  for (const ParameterInfo& tensor : model.impl().layout.tensors)
    if (tensor.name == name)
      return model.impl().write(tensor, std::vector<float>(tensor.size, value));
  FAIL() << "no tensor " << name;
}

TEST(RefusalTest, AMovedFromModelRefusesEveryCall) {
  Model model = random_model(small());
  const Model taken = std::move(model);
  const std::string end = ": the model was moved from; use the one it was moved to";
  const auto bad = Errc::invalid_argument;
  expect_error([&] { model.sample(1); }, bad, "Model::sample" + end);
  expect_error([&] { model.config(); }, bad, "Model::config" + end);
  expect_error([&] { model.save("x"); }, bad, "Model::save" + end);
  expect_error([&] { model.initialize({}); }, bad, "Model::initialize" + end);
}

TEST(RefusalTest, RefusesSizesThatNoMemoryHolds) {
  Model model = random_model(small());
  const auto bad = Errc::invalid_argument;
  for (const std::int64_t count : {std::int64_t{1} << 62, (std::int64_t{1} << 54) + 1})
    expect_error([&] { model.sample(count); }, bad,
                 "Model::sample: a shape may have 2^46 values at most");
  expect_error(
      [&] {
        model.log_prob({{std::int64_t{1} << 60, 8, 12, 3}, {}});
      },
      bad, "Model::log_prob: a shape may have 2^46 values at most");
  expect_error(
      [&] {
        model.log_prob({{-1, 8, 12, 3}, {}});
      },
      bad, "Model::log_prob: a shape has no extent below 0; got -1");
#ifndef __SANITIZE_ADDRESS__  // it ends the process where memory is asked for that cannot be had
  expect_error([&] { model.sample(std::int64_t{1} << 36); }, Errc::out_of_memory,
               "Model::sample: not enough memory; use a smaller batch, model or data set");
#endif
  EXPECT_NO_THROW(model.sample(1));
}

TEST(RefusalTest, RefusesWhatDoesNotFit) {
  Model model = random_model(small());
  const auto bad = Errc::invalid_argument;
  expect_error(
      [&] {
        model.log_prob({{1, 8, 8, 3}, std::vector<float>(192)});
      },
      bad, "Model::log_prob: x must be [N, 8, 12, 3]; got [1, 8, 8, 3]");
  expect_error(
      [&] {
        model.decode({{1, 287}, std::vector<float>(287)});
      },
      bad, "Model::decode: latents must be [N, 288]; got [1, 287]");
  expect_error([&] { model.sample(1, {.labels = {0}}); }, bad,
               "Model::sample: labels were given to a model without classes");
  expect_error([&] { model.sample(-1); }, bad, "Model::sample: count must be at least 0; got -1");
  expect_error([&] { model.sample(1, {.temperature = NAN}); }, bad,
               "Model::sample: temperature must be finite and at least 0; got nan");
  Tensor x = noise_images(small(), 2);
  x.data[288 + 7] = INFINITY;
  expect_error([&] { model.encode(x); }, bad,
               "Model::encode: x must be finite; value 7 of image 1 is inf");
  ModelConfig c = small();
  c.height = 10;
  expect_error([&] { Model unused(c); }, bad,
               "model config: height must be a multiple of 2^levels = 4; got 10");
  c = ModelConfig::of_vectors(Family::nice, 2);
  c.scale = Scale::bounded;
  expect_error([&] { Model unused(c); }, bad,
               "model config: scale is for affine couplings; nice has none and leaves it tanh; got "
               "bounded");
}

TEST(RefusalTest, RefusesLabelsThatDoNotFit) {
  ModelConfig c = small();
  c.classes = 3;
  Model model = random_model(c);
  const Tensor x = noise_images(c, 2);
  const auto bad = Errc::invalid_argument;
  expect_error([&] { model.encode(x); }, bad,
               "Model::encode: labels are missing; the model has 3 classes");
  expect_error(
      [&] {
        model.log_prob(x, {0, 3});
      },
      bad, "Model::log_prob: labels must be 0..2; that of image 1 is 3");
  expect_error([&] { model.log_prob(x, {0}); }, bad,
               "Model::log_prob: labels must be one for each of 2 images; got 1");
}

TEST(RefusalTest, NamesTheLayerWhereAnInverseLeavesTheFiniteRange) {
  Model model = random_model(small());
  set(model, "levels.0.steps.1.coupling.conv3.bias", -1000.f);  // raw: s is e^-87
  expect_error([&] { model.sample(3, {.seed = 1}); }, Errc::diverged,
               "Model::sample: image 0 is not finite from level 0, step 0 on; use a lower "
               "temperature, or a model trained with scale = bounded");
}

TEST(RefusalTest, AdvisesOnlyWhatAModelCanHave) {
  ModelConfig c = small();
  c.scale = Scale::bounded;
  Model model = random_model(c);
  set(model, "levels.1.steps.0.actnorm.log_scale", -200.f);  // its inverse is e^200
  expect_error([&] { model.sample(1, {.seed = 1}); }, Errc::diverged,
               "Model::sample: image 0 is not finite from level 1, step 0 on; use a lower "
               "temperature");
}

TEST(RefusalTest, AVectorIsNotCalledAnImage) {
  Model model(ModelConfig::of_vectors(Family::nice, 2), 0, f32());
  const auto bad = Errc::invalid_argument;
  expect_error(
      [&] {
        model.encode({{2, 2}, {0, 0, 0, INFINITY}});
      },
      bad, "Model::encode: x must be finite; value 1 of vector 1 is inf");
  expect_error(
      [&] {
        model.decode({{1, 2}, {NAN, 0}});
      },
      bad, "Model::decode: latents must be finite; value 0 of vector 0 is nan");
  expect_error(
      [&] {
        model.initialize({{0, 2}, {}});
      },
      bad, "Model::initialize: x must hold at least one vector; got none");
  set(model, "prior.log_sd", -200.f);
  expect_error(
      [&] {
        model.log_prob({{1, 2}, {1, 1}});
      },
      Errc::diverged,
      "Model::log_prob: log p of vector 0 is -inf (the prior: its log p is -inf); the model's "
      "weights do not carry it");
  set(model, "prior.log_sd", 200.f);
  expect_error([&] { model.sample(1); }, Errc::diverged,
               "Model::sample: vector 0 is not finite from the prior on; use a lower temperature");
}

TEST(RefusalTest, NamesTheStepAfterWhichAVectorIsNotFinite) {
  ModelConfig c = ModelConfig::of_vectors(Family::maf, 2);
  c.steps = 3, c.hidden = 4;
  Model model(c, 0, f32());
  const auto stretch = [&](const std::string& step, float alpha) {
    set(model, step + ".made.linear3.weight", 0.f);
    set(model, step + ".made.linear3.bias", alpha);
  };
  const Tensor values{{2, 2}, {0.f, 0.f, 1e5f, 1e5f}};
  stretch("steps.0", -80.f);  // by e^80: of numbers near 1 still finite
  expect_error(
      [&] { model.encode_steps(values, 1); }, Errc::diverged,
      "Model::encode_steps: vector 1 is not finite after 1 of 3 steps (step 0: its coupling's "
      "output is +inf); the model's weights do not carry it");
  EXPECT_NO_THROW(model.encode_steps(values, 0));
  stretch("steps.0", 0.f), stretch("steps.1", 0.f), stretch("steps.2", 80.f);
  expect_error(
      [&] { model.decode_steps(values, 1); }, Errc::diverged,
      "Model::decode_steps: vector 1 is not finite from step 2 on; use a lower temperature");
  EXPECT_NO_THROW(model.decode_steps(values, 0));
  expect_error([&] { model.decode(values); }, Errc::diverged,
               "Model::decode: vector 1 is not finite from step 2 on; use a lower temperature");
}

}  // namespace
}  // namespace rheo::test
