#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
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

TEST(ModelTest, AveragesOverClassesWhereNoLabelIsGiven) {
  for (const std::string& name : golden_names()) {
    const GoldenCase golden = load_golden(name);
    if (golden.config.classes == 0) continue;
    SCOPED_TRACE(name);
    const reference::Glow oracle(golden.config, golden.parameters);
    const auto want = oracle.log_prob(golden.x, {});
    const auto got = Model::load(golden.model_path, f32()).log_prob(images_of(golden));
    for (int n = 0; n < golden.images; ++n) EXPECT_NEAR(got[n], want[n], 1e-5 * std::abs(want[n]));
  }
}

TEST(ModelTest, GivesTheSameBitsForAnyBatchAndThreadCount) {
  ModelConfig c = small();
  c.classes = 3;
  const Tensor x = noise_images(c, 70);
  Labels labels(70);
  for (int n = 0; n < 70; ++n) labels[n] = n % 3;
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    if (precision == Precision::bf16 && !cpu_backend().has_bf16()) continue;
    Model one = random_model(c, {.device = Device::cpu(1), .precision = precision});
    Model two = random_model(c, {.device = Device::cpu(2), .precision = precision});
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
  Model back = Model::load(path, f32());
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
