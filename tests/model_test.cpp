#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>

#include "rheo/rheo.h"
#include "src/model/impl.h"
#include "tests/reference/glow.h"
#include "tests/support/golden.h"

namespace rheo::test {
namespace {

Tensor images_of(const GoldenCase& golden) {
  const ModelConfig& c = golden.config;
  return {{golden.images, c.height, c.width, c.channels}, {golden.x.begin(), golden.x.end()}};
}

/// |got - want| / |want| as vectors; absolute where `want` is zero.
double relative_l2(const float* got, const std::vector<double>& want) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    size += want[i] * want[i];
  }
  return std::sqrt(size > 0 ? error / size : error);
}

/// The gradient of -mean log p, as training computes it.
struct Gradient {
  std::vector<float> parameters, x;
};

Gradient gradient_of(Model::Impl& model, const Tensor& x, const Labels& labels) {
  const std::int64_t count = x.shape[0];
  Arena dry;
  model.flow.plan(dry, count, true);
  const DeviceBuffer room(model.backend(), dry.used(), "activations");
  Arena arena(room.as<void>());
  const FlowBuffers buffers = model.flow.plan(arena, count, true);
  Gradient g{std::vector<float>(model.layout.parameters), std::vector<float>(x.data.size())};
  std::vector<float> folded(model.layout.folded), packed(model.layout.dpacked);
  const std::vector<float> weight(count, -1.f / static_cast<float>(count));
  const int* rows = labels.empty() ? nullptr : labels.data();
  const Weights w = model.weights();
  model.flow.forward(buffers, w, x.data.data(), rows, nullptr);
  model.flow.backward(buffers, w, {g.parameters.data(), folded.data(), packed.data()},
                      weight.data(), rows, g.x.data());
  model.backend().weights_prepare_backward(
      {model.weights_args(), folded.data(), packed.data(), -1, g.parameters.data()}, nullptr);
  return g;
}

// The bars are the project's own: 1e-5 and 1e-4 are some 100 and 1000 roundings of a float, which a
// flow of a dozen steps stays well below.
TEST(ModelTest, AgreesWithEveryGoldenCase) {
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const GoldenCase golden = load_golden(name);
    Model model = Model::load(golden.model_path);
    const Tensor x = images_of(golden);
    const auto log_prob = model.log_prob(x, golden.labels);
    for (int n = 0; n < golden.images; ++n)
      EXPECT_NEAR(log_prob[n], golden.log_prob[n], 1e-5 * std::abs(golden.log_prob[n]));
    const Tensor latents = model.encode(x, golden.labels);
    ASSERT_EQ(latents.data.size(), golden.latents.size());
    for (std::size_t i = 0; i < golden.latents.size(); ++i)
      ASSERT_NEAR(latents.data[i], golden.latents[i], 1e-4) << "latent " << i;
    const Tensor back = model.decode(latents, golden.labels);
    for (std::size_t i = 0; i < golden.x.size(); ++i)
      ASSERT_NEAR(back.data[i], golden.x[i], 1e-4) << "value " << i;
  }
}

TEST(ModelTest, EveryGradientAgreesWithEveryGoldenCase) {
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const GoldenCase golden = load_golden(name);
    Model model = Model::load(golden.model_path);
    const Gradient g = gradient_of(model.impl(), images_of(golden), golden.labels);
    EXPECT_LT(relative_l2(g.x.data(), golden.gradients.at("x")), 1e-4);
    for (const ParameterInfo& tensor : model.impl().layout.tensors)
      if (tensor.kind == ParameterInfo::Kind::trainable) {
        EXPECT_LT(
            relative_l2(g.parameters.data() + tensor.offset, golden.gradients.at(tensor.name)),
            1e-4)
            << tensor.name;
      }
  }
}

// bf16 has 8 bits, 2^-9 a rounding; the cases' extreme weights make that 1e-3 of log p at most.
TEST(ModelTest, Bf16NetworksComeNearEveryGoldenCase) {
  if (!cpu_backend().has_bf16()) GTEST_SKIP() << "this processor has no AVX512_BF16";
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const GoldenCase golden = load_golden(name);
    Model model = Model::load(golden.model_path, {.precision = Precision::bf16});
    const auto log_prob = model.log_prob(images_of(golden), golden.labels);
    for (int n = 0; n < golden.images; ++n)
      EXPECT_NEAR(log_prob[n], golden.log_prob[n], 2e-3 * std::abs(golden.log_prob[n]));
  }
}

TEST(ModelTest, AveragesOverClassesWhereNoLabelIsGiven) {
  for (const std::string& name : golden_names()) {
    const GoldenCase golden = load_golden(name);
    if (golden.config.classes == 0) continue;
    SCOPED_TRACE(name);
    const reference::Glow oracle(golden.config, golden.parameters);
    const auto want = oracle.log_prob(golden.x, {});
    const auto got = Model::load(golden.model_path).log_prob(images_of(golden));
    for (int n = 0; n < golden.images; ++n) EXPECT_NEAR(got[n], want[n], 1e-5 * std::abs(want[n]));
  }
}

ModelConfig small(int levels = 2) {
  return {.height = 8, .width = 12, .channels = 3, .levels = levels, .steps = 2, .hidden = 11};
}

Tensor noise_images(const ModelConfig& c, std::int64_t count, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(0, 255);
  Pixels pixels{{count, c.height, c.width, c.channels}, {}};
  for (std::int64_t i = 0; i < count * c.dims(); ++i)
    pixels.data.push_back(static_cast<std::uint8_t>(value(random)));
  return dequantize(pixels, c.n_bits, Noise::uniform(seed));
}

/// A model with every parameter random, so that nothing is the identity; small, so that its inverse
/// stays tame.
Model random_model(const ModelConfig& c, const Compute& compute = {}) {
  Model model(c, 5, compute);
  model.initialize(noise_images(c, 16));
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.02f);
  for (const ParameterInfo& tensor : model.impl().layout.tensors) {
    if (tensor.kind != ParameterInfo::Kind::trainable) continue;
    std::vector<float> values = model.impl().read(tensor);
    for (float& value : values) value += normal(random);
    model.impl().write(tensor, values);
  }
  return model;
}

TEST(ModelTest, GivesTheSameBitsForAnyBatchAndThreadCount) {
  ModelConfig c = small();
  c.classes = 3;
  const Tensor x = noise_images(c, 70);
  Labels labels(70);
  for (int n = 0; n < 70; ++n) labels[n] = n % 3;
  Model one = random_model(c, {.device = Device::cpu(1)});
  Model two = random_model(c, {.device = Device::cpu(2)});
  const auto log_prob = one.log_prob(x, labels);
  const Tensor latents = one.encode(x, labels);
  EXPECT_EQ(two.log_prob(x, labels), log_prob);
  EXPECT_EQ(two.encode(x, labels).data, latents.data);
  const std::int64_t dims = c.dims();
  for (const std::int64_t n : {0, 33, 69}) {
    const Tensor alone{{1, c.height, c.width, c.channels},
                       {x.data.begin() + n * dims, x.data.begin() + (n + 1) * dims}};
    EXPECT_EQ(two.log_prob(alone, {labels[n]})[0], log_prob[n]);
  }
  const Tensor samples = one.sample(20, {.seed = 4, .labels = {1}});
  for (const int batch : {1, 3, 7})
    EXPECT_EQ(two.sample(20, {.seed = 4, .labels = {1}, .batch = batch}).data, samples.data);
  const Tensor later = two.sample(5, {.seed = 4, .labels = {1}, .first = 15});
  EXPECT_TRUE(std::equal(later.data.begin(), later.data.end(), samples.data.begin() + 15 * dims));
}

TEST(ModelTest, SavesAndLoadsBitForBit) {
  const std::string path = testing::TempDir() + "rheo_model_test.safetensors";
  ModelConfig c = small();
  c.edge_bias = true, c.scale = Scale::bounded;
  Model model = random_model(c);
  model.save(path);
  Model back = Model::load(path);
  EXPECT_EQ(back.config(), c);
  const Tensor x = noise_images(c, 3, 9);
  EXPECT_EQ(back.log_prob(x), model.log_prob(x));
  EXPECT_EQ(back.sample(2, {.seed = 1}).data, model.sample(2, {.seed = 1}).data);
  const CheckpointInfo info = inspect_checkpoint(path);
  EXPECT_EQ(info.parameters, model.parameter_count());
  EXPECT_EQ(info.config, c);
  std::filesystem::remove(path);
}

TEST(ModelTest, RemembersThatItIsNotInitialized) {
  const std::string path = testing::TempDir() + "rheo_uninitialized.safetensors";
  Model model(small());
  model.save(path);
  Model back = Model::load(path);
  EXPECT_FALSE(back.initialized());
  try {
    back.sample(1);
    FAIL() << "an uninitialised model was sampled";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "Model::sample: ActNorm must be initialised from data first; call initialize or "
                 "train");
  }
  back.initialize(noise_images(small(), 4));
  EXPECT_TRUE(back.initialized());
  EXPECT_NO_THROW(back.sample(1));
  std::filesystem::remove(path);
}

TEST(ModelTest, TemperatureZeroGivesTheModeForEverySeed) {
  Model model = random_model(small());
  EXPECT_EQ(model.sample(1, {.seed = 1, .temperature = 0}).data,
            model.sample(1, {.seed = 2, .temperature = 0}).data);
}

TEST(ModelTest, SamplesFollowTheirDensity) {
  // Encoding samples of temperature 1 gives back the standard normals that made them.
  Model model = random_model(small());
  const Tensor latents = model.encode(model.sample(300, {.seed = 8}));
  const double count = static_cast<double>(latents.data.size());
  double mean = 0, square = 0;
  for (float z : latents.data) mean += z / count, square += z * z / count;
  EXPECT_NEAR(mean, 0, 5 / std::sqrt(count));
  EXPECT_NEAR(square, 1, 5 * std::sqrt(2 / count));
}

template <class F>
void expect_error(const F& f, Errc code, const std::string& text) {
  try {
    f();
    FAIL() << "no error; wanted: " << text;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(std::string(e.what()), text);
  }
}

TEST(ModelTest, RefusesWhatDoesNotFit) {
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
  expect_error([&] { Model unused(small(), 0, {.memory = Memory::invert}); }, Errc::unsupported,
               "Model: memory modes state and invert are not in this version; use full");
}

TEST(ModelTest, RefusesLabelsThatDoNotFit) {
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

TEST(ModelTest, NamesTheLayerWhereAnInverseLeavesTheFiniteRange) {
  Model model = random_model(small());
  for (const ParameterInfo& tensor : model.impl().layout.tensors)
    if (tensor.name == "levels.0.steps.1.coupling.conv3.bias")  // raw = -1000: s is e^-87
      model.impl().write(tensor, std::vector<float>(tensor.size, -1000.f));
  expect_error([&] { model.sample(3, {.seed = 1}); }, Errc::diverged,
               "Model::sample: image 0 is not finite from level 0, step 0 on; use a lower "
               "temperature, or a model trained with scale = bounded");
}

TEST(ModelTest, TakesAnEmptyBatch) {
  Model model = random_model(small());
  const Tensor none{{0, 8, 12, 3}, {}};
  EXPECT_TRUE(model.log_prob(none).empty());
  EXPECT_EQ(model.encode(none).shape, (Shape{0, 288}));
  EXPECT_EQ(model.sample(0).shape, (Shape{0, 8, 12, 3}));
}

}  // namespace
}  // namespace rheo::test
