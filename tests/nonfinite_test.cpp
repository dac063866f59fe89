// Training when numbers leave the finite range (docs/reliability.md, bar 5).

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "rheo/rheo.h"
#include "src/train/impl.h"
#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/injector.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Dataset pictures(int count) {
  const ModelConfig c = small();
  Pixels images{{count, c.height, c.width, c.channels}, {}};
  for (std::int64_t i = 0; i < count * c.dims(); ++i)
    images.data.push_back(static_cast<std::uint8_t>(i * i % 251));
  return Dataset(std::move(images));
}

TrainOptions options() {
  return {.steps = 1000,
          .batch = 4,
          .learning_rate = 1e-3,
          .warmup_images = 0,
          .average = 0.9,
          .init_images = 16,
          .seed = 3};
}

/// A trainer on `backend` whose state can be looked at to the byte.
class Training {
 public:
  Training(const Device& device, const Dataset& data)
      : trainer_(Model(small(), 0, f32(device)), data, options()) {}

  Trainer& trainer() { return trainer_; }
  std::string folder() const { return folder_ / ""; }
  /// As the next steps find it, but for counts.
  std::string saved() {
    trainer_.save(folder());
    std::string all;
    for (const char* name : {"/model.safetensors", "/state.safetensors"}) {
      const std::string file = read_file(folder() + name);
      std::uint64_t header = 0;
      std::memcpy(&header, file.data(), sizeof header);
      all += file.substr(sizeof header + header);
    }
    return all;
  }

 private:
  static std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Trainer trainer_;
  const TemporaryFolder folder_;
};

Device with_faults() {
  return DeviceAccess::of(faulty(cpu_backend()), 2);
}

TEST(NonFiniteTest, AnyFaultIsSkippedAndChangesNoByte) {
  const Dataset data = pictures(64);
  std::mt19937 random(1);
  inject({});
  Training run(with_faults(), data);
  Trainer& trainer = run.trainer();
  std::int64_t skipped = 0;
  for (int trial = 0; trial < 12; ++trial) {
    const Place place = std::array{Place::input, Place::loss, Place::gradient}[trial % 3];
    const float value = std::array{std::nanf(""), kInfinity, -kInfinity}[trial / 3 % 3];
    const auto first = static_cast<std::int64_t>(random() % 4);
    inject({});
    for (int i = 0; i < first; ++i) EXPECT_FALSE(trainer.step().skipped);
    const std::string before = run.saved();
    const std::int64_t updates = trainer.last_update();
    inject({place, value, 0, 2});
    for (int i = 0; i < 2; ++i) {
      const StepReport report = trainer.step();
      EXPECT_TRUE(report.skipped) << "trial " << trial;
      EXPECT_EQ(report.skipped_total, ++skipped);
      EXPECT_EQ(trainer.last_update(), updates);
    }
    inject({});
    EXPECT_TRUE(run.saved() == before) << "trial " << trial << " changed something";
    EXPECT_FALSE(trainer.step().skipped);
    EXPECT_EQ(trainer.last_update(), trainer.steps_done());
    EXPECT_FALSE(run.saved() == before) << "an update that changes nothing proves nothing";
  }
}

/// Steps until the trainer gives up; how many were reported, and what it said.
std::pair<int, std::string> until_it_gives_up(Trainer& trainer) {
  for (int steps = 0; steps < 100; ++steps) {
    try {
      trainer.step();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::diverged);
      return {steps, error.what()};
    }
  }
  ADD_FAILURE() << "it never gave up";
  return {};
}

TEST(NonFiniteTest, AWeightThatIsNotFiniteIsNamedNeverSavedAndGoneBackFrom) {
  const Dataset data = pictures(64);
  inject({Place::weight, std::nanf(""), 3});
  Training run(with_faults(), data);
  Trainer& trainer = run.trainer();
  for (int i = 0; i < 2; ++i) trainer.step();
  const std::string good = run.saved();
  EXPECT_EQ(trainer.step().learning_rate, 1e-3);
  EXPECT_FALSE(trainer.step().skipped);
  const std::string file = run.folder() + "/state.safetensors";
  const auto written = std::filesystem::last_write_time(file);
  EXPECT_THROW(trainer.save(run.folder()), Error);
  EXPECT_EQ(std::filesystem::last_write_time(file), written);

  const auto [steps, message] = until_it_gives_up(trainer);
  EXPECT_EQ(steps, 19);
  EXPECT_NE(message.find("20 updates in a row had a loss or gradient that is not finite, the last "
                         "at step 24: levels."),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("is NaN"), std::string::npos) << message;
  EXPECT_EQ(trainer.last_update(), 4);

  trainer.roll_back(run.folder());
  EXPECT_EQ(trainer.steps_done(), 2);
  EXPECT_EQ(trainer.rollbacks(), 1);
  EXPECT_TRUE(run.saved() == good);
  Trainer resumed = Trainer::resume(run.folder(), data, {.device = with_faults()});
  for (int i = 0; i < 3; ++i) {
    const StepReport report = trainer.step(), again = resumed.step();
    EXPECT_FALSE(report.skipped);
    EXPECT_EQ(report.learning_rate, 5e-4);
    EXPECT_EQ(again.learning_rate, 5e-4);
    EXPECT_EQ(again.gradient_norm, report.gradient_norm);
  }
}

TEST(NonFiniteTest, GoesOnAfterTwentyFiveInARow) {
  const Dataset data = pictures(64);
  for (const Place place : {Place::input, Place::loss, Place::gradient}) {
    inject({place, kInfinity, 3, 25});
    Training run(with_faults(), data);
    Trainer& trainer = run.trainer();
    for (int i = 0; i < 2; ++i) trainer.step();
    run.saved();
    trainer.step();
    EXPECT_EQ(until_it_gives_up(trainer).first, 19);
    trainer.roll_back(run.folder());
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(trainer.step().skipped);
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(trainer.step().skipped);
    EXPECT_EQ(trainer.steps_done(), 10);
  }
}

TEST(NonFiniteTest, GoesBackOnlyToItsOwnRun) {
  const Dataset data = pictures(64), other = pictures(65);
  inject({});
  Training one(with_faults(), data), two(with_faults(), other);
  one.trainer().step(), two.trainer().step();
  two.saved();
  EXPECT_THROW(one.trainer().roll_back(two.folder()), Error);
  EXPECT_EQ(one.trainer().rollbacks(), 0);
  EXPECT_FALSE(one.trainer().step().skipped);
}

class NonFiniteDeviceTest : public OnDevice {
 protected:
  static void set(Model& model, const std::string& name, float value) {
    for (const ParameterInfo& tensor : model.impl().layout.tensors)
      if (tensor.name == name)
        return model.impl().write(tensor, std::vector<float>(tensor.size, value));
    FAIL() << "no tensor " << name;
  }
};

TEST_P(NonFiniteDeviceTest, WeightsThatMakeNoFiniteNumbersAreNamedAndNotSaved) {
  const Dataset data = pictures(16);
  TrainOptions o = options();
  o.average = 0;
  Trainer trainer(Model(small(), 0, f32(device())), data, o);
  trainer.step();
  set(trainer.model(), "levels.1.steps.0.actnorm.log_scale", 100.f);
  const std::string layer = "level 1, step 0: the matrix of its permutation and scale is ";
  const auto says = [&](const std::string& message) {
    EXPECT_NE(message.find(layer), std::string::npos) << message;
  };
  try {
    trainer.save(TemporaryFolder() / "");
    FAIL() << "such a model was saved";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::diverged);
    says(error.what());
  }
  EXPECT_TRUE(trainer.step().skipped);
  says(until_it_gives_up(trainer).second);
  try {
    trainer.model().log_prob(noise_images(small(), 2));
    FAIL() << "such a model has no score";
  } catch (const Error& error) {
    says(error.what());
  }
}

TEST_P(NonFiniteDeviceTest, AnAbsurdImageHasNoScoreAndItsLayerIsNamed) {
  Model model = random_model(small(), f32(device()));
  Tensor x = noise_images(small(), 3);
  x.data[x.data.size() - 1] = 3e38f;  // its square, at the latest in the prior, is infinite
  for (const bool latents : {false, true}) {
    try {
      if (latents)
        model.encode(x);
      else
        model.log_prob(x);
      FAIL() << "an infinite loss was returned";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::diverged);
      EXPECT_NE(std::string(error.what()).find("of image 2 is "), std::string::npos)
          << error.what();
      EXPECT_NE(std::string(error.what()).find(" (level "), std::string::npos) << error.what();
    }
  }
}

TEST_P(NonFiniteDeviceTest, ImagesOutOfAllBoundsInitializeNothing) {
  Model model(small(), 0, f32(device()));
  Tensor x = noise_images(small(), 4);
  // Farther from their mean than float32 reaches.
  for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] = i < 3 ? 3.4e38f : -3.4e38f;
  EXPECT_THROW(model.initialize(x), Error);
  EXPECT_FALSE(model.initialized());
  model.initialize(noise_images(small(), 4));
  EXPECT_TRUE(model.initialized());
}

RHEO_ON_EVERY_DEVICE(NonFiniteDeviceTest);

}  // namespace
}  // namespace rheo::test
