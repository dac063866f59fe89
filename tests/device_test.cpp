// Whole models on a GPU, emulated or real, against the CPU; and what a GPU alone can get wrong.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "rheo/rheo.h"
#include "src/train/impl.h"
#include "tests/support/devices.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

const ModelConfig kConfig{
    .height = 8, .width = 8, .channels = 1, .levels = 2, .steps = 3, .hidden = 16};

/// Noise: where images are smooth, Adam turns gradients that are but roundings into whole steps.
Dataset noise(int count, int classes = 0) {
  Labels labels;
  for (int n = 0; n < (classes ? count : 0); ++n) labels.push_back(n % classes);
  return Dataset(quantize(noise_images(kConfig, count, 5), 8), std::move(labels));
}

TrainOptions options(std::int64_t steps = 5) {
  return {.steps = steps, .batch = 8, .warmup_images = 16, .init_images = 32, .seed = 3};
}

class DeviceTest : public OnDevice {
 protected:
  Compute compute(Precision precision = Precision::f32) const {
    return {.device = device(), .precision = precision};
  }

  /// These tests run several times at once, for several orders of threads.
  std::string folder_of(const std::string& test) const {
    return testing::TempDir() + "rheo_device_" + test + "_" + device().backend().name + "_" +
           std::to_string(getpid());
  }
};

/// Steps of training, and log p of some images after them.
std::vector<double> trained(const Compute& compute, const TrainOptions& o, ModelConfig c) {
  const Dataset data = noise(40, c.classes);
  Trainer trainer(Model(c, 1, compute), data, o);
  std::vector<double> told;
  for (int i = 0; i < o.steps; ++i) {
    const StepReport report = trainer.step();
    told.insert(told.end(), {report.bits_per_dim, report.gradient_norm});
  }
  for (double log_prob : trainer.model().log_prob(noise_images(c, 3))) told.push_back(log_prob);
  return told;
}

// The first step's numbers are those of one forward and backward pass in float32; later ones carry
// the roundings of the updates before, which Adam's division by small second moments enlarges.
void expect_same_run(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got[i], want[i], (i < 2 ? 1e-5 : 2e-3) * std::abs(want[i])) << "number " << i;
}

TEST_P(DeviceTest, TrainsAsTheCpuDoes) {
  const Compute cpu{.device = Device::cpu(1), .precision = Precision::f32};
  ModelConfig c = kConfig;
  expect_same_run(trained(compute(), options(), c), trained(cpu, options(), c));
  c.classes = 3, c.edge_bias = true, c.scale = Scale::bounded;
  TrainOptions o = options();
  o.accumulate = 2, o.average = 0.5, o.optimizer = Optimizer::adamax;
  expect_same_run(trained(compute(), o, c), trained(cpu, o, c));
}

TEST_P(DeviceTest, TheSameRunGivesTheSameBits) {
  EXPECT_EQ(trained(compute(), options(), kConfig), trained(compute(), options(), kConfig));
  EXPECT_EQ(trained(compute(Precision::bf16), options(), kConfig),
            trained(compute(Precision::bf16), options(), kConfig));
}

/// Four steps: the first runs as it is, the second is recorded, the others replay it.
TEST_P(DeviceTest, WhatIsKeptDoesNotChangeARun) {
  Compute with = compute();
  with.memory = Memory::full;
  const std::vector<double> full = trained(with, options(4), kConfig);
  with.memory = Memory::state;
  EXPECT_EQ(trained(with, options(4), kConfig), full);
  with.memory = Memory::invert;
  expect_same_run(trained(with, options(4), kConfig), full);
}

TEST_P(DeviceTest, ResumesInEveryMemoryMode) {
  const std::string folder = folder_of("modes");
  std::filesystem::create_directories(folder);
  const Dataset data = noise(40);
  for (const Memory memory : {Memory::full, Memory::state, Memory::invert}) {
    Compute with = compute();
    with.memory = memory;
    Trainer first(Model(kConfig, 1, with), data, options());
    first.step();
    first.save(folder);
    Trainer second = Trainer::resume(folder, data, compute());  // the run's mode, as it is not told
    EXPECT_EQ(second.model().compute().memory, memory);
    EXPECT_EQ(second.step().gradient_norm, first.step().gradient_norm);
  }
  std::filesystem::remove_all(folder);
}

TEST_P(DeviceTest, ResumesBitForBit) {
  const std::string folder = folder_of("resume");
  std::filesystem::create_directories(folder);
  const Dataset data = noise(40);
  Trainer whole(Model(kConfig, 1, compute()), data, options());
  Trainer first(Model(kConfig, 1, compute()), data, options());
  for (int i = 0; i < 2; ++i) first.step();
  first.save(folder);
  Trainer second = Trainer::resume(folder, data, compute());
  for (int i = 0; i < 5; ++i) whole.step();
  for (int i = 0; i < 3; ++i) second.step();
  const Tensor x = noise_images(kConfig, 3);
  EXPECT_EQ(second.model().log_prob(x), whole.model().log_prob(x));
  std::filesystem::remove_all(folder);
}

/// A launch that was recorded must do what its parts did: the first call runs them one by one, the
/// second is recorded, the third replays that.
TEST_P(DeviceTest, RepeatedCallsGiveTheSameBits) {
  ModelConfig c = small();
  c.classes = 2;
  Model model = random_model(c, compute());
  const Tensor x = noise_images(c, 4);
  const auto log_prob = model.log_prob(x, {0, 1, 0, 1});
  const Tensor samples = model.sample(4, {.seed = 2, .labels = {1}});
  const Tensor others = model.sample(4, {.seed = 3, .labels = {0}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(model.log_prob(x, {0, 1, 0, 1}), log_prob) << "call " << i;
    EXPECT_EQ(model.sample(4, {.seed = 2, .labels = {1}}).data, samples.data) << "call " << i;
    EXPECT_EQ(model.sample(4, {.seed = 3, .labels = {0}}).data, others.data) << "call " << i;
  }
  // Another batch needs other memory, on which nothing was recorded yet.
  EXPECT_EQ(model.sample(9, {.seed = 2, .labels = {1}}).shape[0], 9);
  EXPECT_EQ(model.sample(4, {.seed = 2, .labels = {1}}).data, samples.data);
}

TEST_P(DeviceTest, SamplesAndLatentsAreThoseOfTheCpu) {
  const ModelConfig c = small();
  Model model = random_model(c, compute());
  Model cpu = random_model(c, {.device = Device::cpu(1), .precision = Precision::f32});
  for (const ParameterInfo& tensor :
       cpu.impl().layout.tensors)  // whose moments differ in roundings
    model.impl().write(tensor, cpu.impl().read(tensor));
  const Tensor x = noise_images(c, 5), z = model.encode(x), z_cpu = cpu.encode(x);
  for (std::size_t i = 0; i < z.data.size(); ++i)
    ASSERT_NEAR(z.data[i], z_cpu.data[i], 1e-4) << "latent " << i;
  // The same latents of the same counters; a scale of 0.1 at each of four steps enlarges roundings.
  const Tensor got = model.sample(5, {.seed = 6}), want = cpu.sample(5, {.seed = 6});
  for (std::size_t i = 0; i < want.data.size(); ++i)
    ASSERT_NEAR(got.data[i], want.data[i], 1e-3 * (1 + std::abs(want.data[i]))) << "value " << i;
  const Tensor back = model.decode(z);
  for (std::size_t i = 0; i < x.data.size(); ++i) ASSERT_NEAR(back.data[i], x.data[i], 1e-4);
}

TEST_P(DeviceTest, TheKernelsAloneTakeDeviceMemory) {
  const DeviceScope scope(device());
  const Queue queue(device());
  const std::vector<float> m = {2, 1, 0, 4}, b = {1, -1}, x = {3, 5, -2, 0};
  const auto put = [&](const std::vector<float>& values) {
    DeviceBuffer buffer(queue, values.size() * sizeof(float), "test");
    buffer.upload(values.data(), buffer.bytes());
    return buffer;
  };
  const DeviceBuffer matrix = put(m), bias = put(b), from = put(x), to = put({0, 0, 0, 0});
  mix_forward(device(),
              {2, 2, matrix.as<float>(), bias.as<float>(), from.as<float>(), to.as<float>()},
              queue.stream());
  std::vector<float> y(4);
  to.download(y.data(), to.bytes());
  EXPECT_EQ(y, (std::vector<float>{12, 16, -3, -4}));
}

RHEO_ON_EVERY_GPU(DeviceTest);

}  // namespace
}  // namespace rheo::test
