// A plan is what is then allocated.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "bench/peak_memory.h"
#include "src/model/impl.h"
#include "src/train/impl.h"
#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

constexpr int kBatch = 5;

class PlanTest : public OnDevice {
 protected:
  Compute compute(Memory memory) const {
    return {.device = device(), .precision = Precision::f32, .memory = memory};
  }

  /// What a plan says of memory that our own buffers take.
  std::int64_t buffers(const MemoryPlan& plan) const {
    return plan.total() - static_cast<std::int64_t>(device().backend().overhead_bytes);
  }

  const ModelConfig config_ = small();
  const Dataset data_{quantize(noise_images(config_, 8), 8)};
  const TrainOptions options_{.steps = 3, .batch = kBatch, .average = 0.5, .init_images = 2};
};

std::int64_t held(const Model& model) {
  return static_cast<std::int64_t>(model.impl().queue.held());
}

TEST_P(PlanTest, ATrainerHoldsWhatWasPlanned) {
  for (const Memory memory : {Memory::full, Memory::state, Memory::invert}) {
    const Model model(config_, 0, compute(memory));
    const MemoryPlan before = plan_training(model, options_, memory);
    Trainer::Impl trainer(Model(config_, 0, compute(memory)), data_, options_);
    EXPECT_EQ(trainer.plan().memory, memory);
    EXPECT_EQ(trainer.plan().batch, kBatch);
    EXPECT_EQ(trainer.plan().total(), before.total());
    EXPECT_EQ(held(trainer.newest()), buffers(before)) << "when it is made";
    for (int i = 0; i < 3; ++i) trainer.step();
    EXPECT_EQ(held(trainer.newest()), buffers(before)) << "after some steps";
    EXPECT_EQ(before.weights, held(model));
  }
}

TEST_P(PlanTest, InitialisationIsPlannedWhereItTakesMore) {
  TrainOptions o = options_;
  o.batch = 1, o.init_images = 64;
  const Model fresh(config_, 0, compute(Memory::invert));
  const Model ready = random_model(config_, compute(Memory::invert));
  const MemoryPlan first = plan_training(fresh, o, Memory::invert);
  const MemoryPlan then = plan_training(ready, o, Memory::invert);
  EXPECT_GT(first.activations, then.activations);
  EXPECT_EQ(first.per_image, then.per_image);
  EXPECT_EQ(static_cast<std::size_t>(first.activations),
            initialization_bytes(fresh.impl(), o.init_images));
}

TEST_P(PlanTest, AModelHoldsWhatWasPlannedForItsBatch) {
  Model model = random_model(config_, compute(Memory::full));
  model.impl().release_room();
  const MemoryPlan plan = model.plan(kBatch);
  EXPECT_EQ(plan.optimizer, 0);
  EXPECT_EQ(plan.weights, held(model));
  model.sample(kBatch);
  EXPECT_EQ(held(model), buffers(plan));
  EXPECT_GT(model.plan().batch, kBatch) << "as it chooses itself";
  expect_error([&] { model.plan(-1); }, Errc::invalid_argument,
               "Model::plan: batch must be at least 0; got -1");
}

TEST_P(PlanTest, AFurtherImageAddsWhatItSays) {
  const Model model = random_model(config_, compute(Memory::full));
  for (const Memory memory : {Memory::full, Memory::state, Memory::invert}) {
    TrainOptions one = options_, other = options_;
    one.batch = 64, other.batch = 128;  // each image one more part of the sums over pixels
    const MemoryPlan less = plan_training(model, one, memory);
    const MemoryPlan more = plan_training(model, other, memory);
    EXPECT_EQ(more.total() - less.total(), 64 * less.per_image);
    EXPECT_EQ(more.per_image, less.per_image);
    EXPECT_EQ(more.weights, less.weights);
    EXPECT_EQ(more.optimizer, less.optimizer);
    EXPECT_GE(less.largest_batch, 128) << "8x12 pixels, and gigabytes";
  }
}

RHEO_ON_EVERY_DEVICE(PlanTest);

/// In a process of its own, as CTest runs it: what an earlier test left would be used again.
class PlannedPeakTest : public testing::TestWithParam<Memory> {};

TEST_P(PlannedPeakTest, TheProcessGrowsByWhatWasPlanned) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  // Large, for what is resident of the libraries' own code varies by some ten megabytes.
  const ModelConfig config = {.steps = 8, .hidden = 512};
  const Dataset data(quantize(noise_images(config, 32), 8));
  const TrainOptions options = {.batch = 24, .init_images = 8};
  const TemporaryFolder folder;
  bench::PeakMemory peak;
  peak.restart();
  if (!peak.known()) GTEST_SKIP() << "this system does not tell the peak";
  const Compute compute = {Device::cpu(), Precision::f32, GetParam()};
  Trainer trainer(Model(config, 0, compute), data, options);
  for (int i = 0; i < 2; ++i) trainer.step();
  trainer.save(folder / "");
  const double planned = static_cast<double>(trainer.plan().total()) / (1 << 20);
  EXPECT_NEAR(peak.mebibytes() / planned, 1, 0.05)
      << peak.mebibytes() << " MiB of planned " << planned;
}

TEST(PlannedMemoryTest, ABatchTenTimesTooBigIsRefusedAndASmallOneThenTrains) {
  const ModelConfig config = {.steps = 8, .hidden = 256};
  const Dataset data(quantize(noise_images(config, 16), 8));
  const Compute compute = {Device::cpu(), Precision::f32, Memory::full};
  TrainOptions options = {.batch = 1, .init_images = 4};
  const Model model(config, 0, compute);
  const std::int64_t fits = plan_training(model, options, Memory::full).largest_batch;
  ASSERT_GT(fits, 1);
  options.batch = static_cast<int>(std::min<std::int64_t>(10 * fits, kMaxBatch));
  ASSERT_GT(options.batch, 2 * fits) << "this machine has room for every batch that is allowed";
  try {
    Trainer(Model(config, 0, compute), data, options).step();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::out_of_memory);
    const std::string needs = "cpu: a batch of " + std::to_string(options.batch) + " needs ";
    EXPECT_EQ(std::string(e.what()).substr(0, needs.size()), needs);
    EXPECT_NE(std::string(e.what()).find("the largest batch that fits is "), std::string::npos);
  }
  options.batch = 2;
  EXPECT_FALSE(Trainer(Model(config, 0, compute), data, options).step().skipped);
}

INSTANTIATE_TEST_SUITE_P(Modes, PlannedPeakTest,
                         testing::Values(Memory::full, Memory::state, Memory::invert));

}  // namespace
}  // namespace rheo::test
