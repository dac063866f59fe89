// What a GPU does when it has no more room or is lost, shown on the emulated one.

#include <gtest/gtest.h>

#include <string>

#include "simt/control.h"
#include "src/train/impl.h"
#include "tests/support/devices.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

/// The emulated device with so much memory left, while a test runs.
class SmallDevice {
 public:
  explicit SmallDevice(std::size_t bytes) {
    const std::size_t used = kAll - emulated().backend().free_bytes();
    simt::set_memory(used + bytes);
  }
  ~SmallDevice() { simt::set_memory(kAll); }

 private:
  static constexpr std::size_t kAll = std::size_t{64} << 30;
};

class EmulatedTest : public testing::Test {
 protected:
  const Compute compute_{.device = emulated(), .precision = Precision::f32, .memory = Memory::full};
  const ModelConfig config_ = small();
  const Dataset data_{quantize(noise_images(config_, 8), 8)};

  TrainOptions options(int batch) const { return {.steps = 2, .batch = batch, .init_images = 8}; }

  std::string error_of(int batch) const {
    try {
      Trainer trainer(Model(config_, 0, compute_), data_, options(batch));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::out_of_memory);
      return e.what();
    }
    return "no error";
  }
};

TEST_F(EmulatedTest, WhereABatchDoesNotFitTheErrorTellsOneThatDoes) {
  const SmallDevice small(std::size_t{256} << 20);
  const std::string error = error_of(30'000);
  const std::string before = "the largest batch that fits is ";
  const std::size_t at = error.find(before);
  ASSERT_NE(at, std::string::npos) << error;
  EXPECT_TRUE(error.starts_with("emulated: a batch of 30000 needs ")) << error;
  EXPECT_NE(error.find(" are free; "), std::string::npos) << error;
  const int fitting = std::stoi(error.substr(at + before.size()));
  ASSERT_GT(fitting, 0);
  EXPECT_EQ(error_of(fitting), "no error");
  EXPECT_NE(error_of(2 * fitting), "no error") << "it could have been far larger";
}

TEST_F(EmulatedTest, AModelStaysUsableAfterABatchThatDoesNotFit) {
  const SmallDevice small(std::size_t{100} << 20);
  Model model = random_model(config_, compute_);
  const Tensor before = model.sample(2, {.seed = 1});
  EXPECT_THROW(model.sample(100'000, {.seed = 1, .batch = 100'000}), Error);
  EXPECT_EQ(model.sample(2, {.seed = 1}).data, before.data);
}

TEST_F(EmulatedTest, AutoKeepsLessWhereThereIsLessRoom) {
  Compute compute = compute_;
  compute.memory = Memory::automatic;
  ModelConfig wide = config_;
  wide.hidden = 96;
  const Model model(wide, 0, compute);
  const auto resolved = [&](Keep keep) {
    const std::size_t others = std::size_t{120} << 20;  // streams, weights and some to spare
    const SmallDevice small(others + 2 * model.impl().activation_bytes(2000, keep));
    Trainer trainer(Model(wide, 0, compute), data_, options(2000));
    return trainer.model().compute().memory;
  };
  EXPECT_EQ(resolved(Keep::full), Memory::full);
  EXPECT_NE(resolved(Keep::invert), Memory::full);
}

TEST_F(EmulatedTest, ALostDeviceIsToldOnceAndClearly) {
  Trainer trainer(Model(config_, 0, compute_), data_, options(4));
  trainer.step();
  simt::set_lost(true);
  try {
    trainer.step();
    ADD_FAILURE() << "a step was made on a lost device";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::device);
    EXPECT_NE(std::string(e.what()).find("(cudaErrorLaunchFailure)"), std::string::npos);
  }
  { const Trainer gone = std::move(trainer); }  // and giving everything back says nothing more
  simt::set_lost(false);
}

}  // namespace
}  // namespace rheo::test
