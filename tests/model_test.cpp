#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>

#include "rheo/rheo.h"
#include "src/model/impl.h"
#include "tests/reference/glow.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"

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

std::vector<float> downloaded(const DeviceBuffer& buffer) {
  std::vector<float> values(buffer.bytes() / sizeof(float));
  buffer.download(values.data(), buffer.bytes());
  return values;
}

Gradient gradient_of(Model::Impl& model, const Tensor& x, const Labels& labels) {
  const std::int64_t count = x.shape[0];
  const auto room = [&](std::int64_t values) {
    DeviceBuffer buffer(model.backend(), values * sizeof(float), "test");
    buffer.clear();
    return buffer;
  };
  Arena dry;
  model.flow.plan(dry, count, true);
  const DeviceBuffer activations = room(static_cast<std::int64_t>(dry.used() / sizeof(float)));
  Arena arena(activations.as<void>());
  const FlowBuffers buffers = model.flow.plan(arena, count, true);
  const auto values = static_cast<std::int64_t>(x.data.size());
  DeviceBuffer images = room(values), weight = room(count), rows = room(count);
  const DeviceBuffer dx = room(values), parameters = room(model.layout.parameters);
  const DeviceBuffer folded = room(model.layout.folded), packed = room(model.layout.dpacked);
  images.upload(x.data.data(), images.bytes());
  const std::vector<float> share(count, -1.f / static_cast<float>(count));
  weight.upload(share.data(), weight.bytes());
  if (!labels.empty()) rows.upload(labels.data(), rows.bytes());
  const int* label_rows = labels.empty() ? nullptr : rows.as<int>();
  const Weights w = model.weights();
  model.flow.forward(buffers, w, images.as<float>(), label_rows, nullptr);
  model.flow.backward(buffers, w, {parameters.as<float>(), folded.as<float>(), packed.as<float>()},
                      weight.as<float>(), label_rows, dx.as<float>());
  model.backend().weights_prepare_backward(
      {model.weights_args(), folded.as<float>(), packed.as<float>(), -1, parameters.as<float>()},
      nullptr);
  return {downloaded(parameters), downloaded(dx)};
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

// bf16 has 8 bits, 2^-9 a rounding; the cases' extreme weights make that some 1e-3 of log p.
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

TEST(ModelTest, ManyBatchesAreOneImageAtATime) {
  ModelConfig c{.height = 64, .width = 64, .channels = 1, .levels = 1, .steps = 1, .hidden = 4};
  c.classes = 2;
  Model model = random_model(c);
  ASSERT_LT(model.impl().batch_of(100), 20);
  const Tensor x = noise_images(c, 50);
  Labels labels(50);
  for (int n = 0; n < 50; ++n) labels[n] = n * 7 % 2;
  const auto log_prob = model.log_prob(x, labels), any = model.log_prob(x);
  const Tensor latents = model.encode(x, labels), back = model.decode(latents, labels);
  const std::int64_t dims = c.dims();
  std::int64_t seen = 0;
  model.log_prob(x, labels, [&](std::int64_t done, std::int64_t total) {
    EXPECT_EQ(total, 50);
    EXPECT_GT(done, seen);
    seen = done;
  });
  EXPECT_EQ(seen, 50);
  for (int n = 0; n < 50; ++n) {
    const auto part = [&](const Tensor& from, Shape shape) {
      return Tensor{std::move(shape),
                    {from.data.begin() + n * dims, from.data.begin() + (n + 1) * dims}};
    };
    const Tensor one = part(x, {1, 64, 64, 1}), z = part(latents, {1, dims});
    EXPECT_EQ(model.log_prob(one, {labels[n]})[0], log_prob[n]);
    EXPECT_EQ(model.log_prob(one)[0], any[n]);
    EXPECT_EQ(model.encode(one, {labels[n]}).data, z.data);
    EXPECT_EQ(model.decode(z, {labels[n]}).data, part(back, {1, 64, 64, 1}).data);
  }
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

TEST(ModelTest, ScoresADataSetInParts) {
  ModelConfig c{.height = 128, .width = 128, .channels = 2, .levels = 1, .steps = 1, .hidden = 2};
  Model model = random_model(c);
  const Tensor x = noise_images(c, 140, 6);  // a part has 2^22 / 32768 = 128 images
  const Dataset data(quantize(x, 8));
  const Score got = score(model, data, Noise::uniform(9));
  double mean = 0, square = 0;
  for (double log_prob : model.log_prob(dequantize(data.images(), 8, Noise::uniform(9)))) {
    const double bits = bits_per_dim(log_prob, c.dims(), 8);
    mean += bits / 140, square += bits * bits / 140;
  }
  EXPECT_NEAR(got.bits_per_dim, mean, 1e-9 * mean);
  EXPECT_NEAR(got.standard_error, std::sqrt((square - mean * mean) / 139), 1e-5 * mean);
  EXPECT_EQ(got.images, 140);
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
