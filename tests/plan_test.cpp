// A plan is what is then allocated.

#include <gtest/gtest.h>

#include "src/model/impl.h"
#include "src/train/impl.h"
#include "tests/support/devices.h"
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
    one.batch = 64, other.batch = 128;  // where the sums over pixels have all their parts
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

}  // namespace
}  // namespace rheo::test
