#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "rheo/rheo.h"
#include "src/model/impl.h"
#include "src/train/impl.h"
#include "src/train/loader.h"
#include "src/train/order.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

const ModelConfig kConfig{
    .height = 8, .width = 8, .channels = 1, .levels = 2, .steps = 2, .hidden = 16};

/// Bright discs on dark, at random places: something to learn.
Dataset discs(int count, int classes = 0) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> place(2, 6);
  Pixels images{{count, 8, 8, 1}, {}};
  Labels labels;
  for (int n = 0; n < count; ++n) {
    const double y = place(random), x = place(random);
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; ++j)
        images.data.push_back(std::hypot(i - y, j - x) < 2 ? 200 + (i * j + n) % 32 : n % 16);
    if (classes) labels.push_back(n % classes);
  }
  return Dataset(std::move(images), std::move(labels));
}

TrainOptions options(std::int64_t steps = 20) {
  return {.steps = steps, .batch = 16, .warmup_images = 64, .init_images = 64, .seed = 3};
}

std::vector<std::vector<float>> parameters_of(const Model& model) {
  std::vector<std::vector<float>> all;
  for (const ParameterInfo& tensor : model.impl().layout.tensors)
    all.push_back(model.impl().read(tensor));
  return all;
}

struct Folder {
  std::string path = testing::TempDir() + "rheo_trainer_" +
                     testing::UnitTest::GetInstance()->current_test_info()->name();
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(TrainerTest, LearnsWithEveryOptimizer) {
  const Dataset data = discs(256);
  for (const auto optimizer : {Optimizer::adam, Optimizer::adamax, Optimizer::adamax_openai}) {
    TrainOptions o = options(150);
    o.optimizer = optimizer, o.learning_rate = 5e-3;
    Trainer trainer(Model(kConfig, 0, f32()), data, o);
    const double first = trainer.step().bits_per_dim;
    for (int i = 1; i < 150; ++i) trainer.step();
    const double after = score(trainer.model(), data).bits_per_dim;
    EXPECT_LT(after, first - 1) << "optimiser " << static_cast<int>(optimizer);
  }
}

TEST(TrainerTest, LearnsAndResumesWithBf16Networks) {
  if (!cpu_backend().has_bf16()) GTEST_SKIP() << "this processor has no AVX512_BF16";
  const Dataset data = discs(256);
  TrainOptions o = options(150);
  o.learning_rate = 5e-3;
  const Compute bf16{.precision = Precision::bf16};
  Trainer trainer(Model(kConfig, 0, bf16), data, o);
  const double first = trainer.step().bits_per_dim;
  for (int i = 1; i < 149; ++i) trainer.step();
  const Folder folder;
  trainer.save(folder.path);
  Trainer resumed = Trainer::resume(folder.path, data);
  EXPECT_EQ(resumed.model().compute().precision, Precision::bf16);
  const double last = trainer.step().bits_per_dim;
  EXPECT_EQ(resumed.step().bits_per_dim, last);
  EXPECT_LT(last, first - 1);
}

TEST(TrainerTest, AResumedRunRepeatsTheUnbrokenOneBitForBit) {
  const Dataset data = discs(100, 3);  // so that epochs end in the middle of batches
  ModelConfig config = kConfig;
  config.classes = 3;
  TrainOptions o = options(12);
  o.accumulate = 2, o.average = 0.9, o.flip = true, o.shift = 1, o.schedule = Schedule::cosine;
  Trainer whole(Model(config, 1, f32()), data, o);
  std::vector<StepReport> reports;
  for (int i = 0; i < 12; ++i) reports.push_back(whole.step());

  for (const int stop : {1, 6, 11}) {
    const Folder folder;
    {
      TrainOptions broken = o;
      broken.loader_threads = 3;
      Trainer first(Model(config, 1, f32()), data, broken);
      for (int i = 0; i < stop; ++i) first.step();
      first.model();  // looking at the average must not change the run
      first.save(folder.path);
    }
    Trainer second = Trainer::resume(folder.path, data);
    EXPECT_EQ(second.steps_done(), stop);
    for (int i = stop; i < 12; ++i) {
      const StepReport got = second.step();
      EXPECT_EQ(got.bits_per_dim, reports[i].bits_per_dim) << "step " << i;
      EXPECT_EQ(got.gradient_norm, reports[i].gradient_norm) << "step " << i;
      EXPECT_EQ(got.learning_rate, reports[i].learning_rate) << "step " << i;
      EXPECT_EQ(got.images, reports[i].images);
    }
    EXPECT_EQ(parameters_of(second.model()), parameters_of(whole.model()));
  }
}

TEST(TrainerTest, AccumulationIsABatchInParts) {
  const Dataset data = discs(64);
  const auto after_one = [&](int batch, int accumulate) {
    TrainOptions o = options();
    o.batch = batch, o.accumulate = accumulate, o.warmup_images = 0;
    Trainer trainer(Model(kConfig, 0, f32()), data, o);
    const double norm = trainer.step().gradient_norm;
    return std::pair{norm, trainer.step().bits_per_dim};
  };
  const auto whole = after_one(32, 1), parts = after_one(8, 4);
  // The same sums in another order: some roundings of a float.
  EXPECT_NEAR(parts.first, whole.first, 1e-4 * whole.first);
  EXPECT_NEAR(parts.second, whole.second, 1e-4 * std::abs(whole.second));
}

TEST(TrainerTest, AStepThatIsNotFiniteChangesNothing) {
  const Dataset data = discs(64);
  auto impl = Trainer::Impl(Model(kConfig, 0, f32()), data, options());
  impl.step();
  Model::Impl& model = impl.newest().impl();
  const auto& tensor = model.layout.tensors[0];
  auto values = model.read(tensor);
  values[1] = NAN;
  model.write(tensor, values);
  const std::vector<float> before(model.parameters(), model.parameters() + model.layout.parameters);
  const StepReport report = impl.step();
  EXPECT_TRUE(report.skipped);
  EXPECT_EQ(report.skipped_total, 1);
  EXPECT_EQ(std::memcmp(before.data(), model.parameters(), before.size() * sizeof(float)), 0);
  values[1] = 0;
  model.write(tensor, values);
  EXPECT_FALSE(impl.step().skipped);
}

TEST(TrainerTest, GivesUpAfterTwentySkippedStepsInARow) {
  const Dataset data = discs(64);
  auto impl = Trainer::Impl(Model(kConfig, 0, f32()), data, options(100));
  impl.step();
  Model::Impl& model = impl.newest().impl();
  model.write(model.layout.tensors[0], std::vector<float>(model.layout.tensors[0].size, NAN));
  for (int i = 0; i < 19; ++i) EXPECT_TRUE(impl.step().skipped);
  EXPECT_NO_THROW(impl.require_progress());
  impl.step();
  try {
    impl.require_progress();
    FAIL() << "the twentieth skipped step must end the run";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::diverged);
    EXPECT_NE(std::string(e.what()).find("20 updates in a row"), std::string::npos);
  }
}

TEST(TrainerTest, WarmsUpByImagesAndFollowsTheCosine) {
  const Dataset data = discs(64);
  TrainOptions o = options(10);
  o.learning_rate = 1, o.clip_norm = 1e-6, o.schedule = Schedule::cosine;
  Trainer trainer(Model(kConfig, 0, f32()), data, o);
  std::vector<double> rates;
  for (int i = 0; i < 10; ++i) rates.push_back(trainer.step().learning_rate);
  for (int i = 0; i < 10; ++i) {
    const double warm = std::min(1.0, 16.0 * (i + 1) / 64);
    const double cosine = 0.01 + 0.99 * 0.5 * (1 + std::cos(M_PI * i / 10.0));
    EXPECT_NEAR(rates[i], warm * cosine, 1e-12) << "step " << i;
  }
}

TEST(TrainerTest, TheAverageStartsAsThePlainMeanOfTheWeights) {
  const Dataset data = discs(64);
  TrainOptions o = options();
  o.average = 0.999;
  auto impl = Trainer::Impl(Model(kConfig, 0, f32()), data, o);
  const auto& tensor = impl.newest().impl().layout.tensors[0];
  std::vector<double> mean(tensor.size);
  for (int i = 0; i < 4; ++i) {
    impl.step();
    const auto values = impl.newest().impl().read(tensor);
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += values[k] / 4;
  }
  const auto average = impl.model().impl().read(tensor);
  for (std::size_t k = 0; k < mean.size(); ++k) EXPECT_NEAR(average[k], mean[k], 1e-6);
}

TEST(TrainerTest, RefusesAResumeThatWouldNotGiveTheSameBits) {
  const Dataset data = discs(64);
  const Folder folder;
  Trainer trainer(Model(kConfig, 0, f32(Device::cpu(1))), data, options());
  trainer.step();
  trainer.save(folder.path);
  const Compute two{.device = Device::cpu(2)};
  EXPECT_THROW(Trainer::resume(folder.path, data, two), Error);
  EXPECT_NO_THROW(Trainer::resume(folder.path, data, two, true));
  try {
    const Dataset other = discs(63);
    Trainer::resume(folder.path, other, {.device = Device::cpu(1)});
    FAIL() << "other data were taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::bad_file);
    EXPECT_NE(std::string(e.what()).find("the run's data were 64x8x8x1"), std::string::npos);
  }
}

TEST(TrainerTest, AnEmptyTrainerRefusesEveryCall) {
  const Dataset data = discs(64);
  Trainer trainer(Model(kConfig, 0, f32()), data, options());
  trainer.step();
  const Model model = trainer.release();
  try {
    trainer.step();
    FAIL() << "a released trainer made a step";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "Trainer::step: the trainer is empty: it was moved from or released");
  }
  EXPECT_THROW(trainer.model(), Error);
  EXPECT_THROW(trainer.options(), Error);
  EXPECT_THROW(trainer.save("x"), Error);
}

TEST(TrainerTest, RefusesDataAndOptionsThatDoNotFit) {
  const Dataset data = discs(64);
  ModelConfig wide = kConfig;
  wide.width = 16;
  EXPECT_THROW(Trainer(Model(wide, 0, f32()), data, options()), Error);
  ModelConfig classes = kConfig;
  classes.classes = 2;
  EXPECT_THROW(Trainer(Model(classes, 0, f32()), data, options()), Error);
  const Dataset three = discs(64, 3);
  EXPECT_THROW(Trainer(Model(classes, 0, f32()), three, options()), Error);
  TrainOptions o = options();
  o.beta1 = 1;
  EXPECT_THROW(Trainer(Model(kConfig, 0, f32()), data, o), Error);
}

TEST(OrderTest, IsAPermutationThatChangesWithEpochAndSeed) {
  for (const std::int64_t size : {1, 2, 3, 100, 4097}) {
    std::vector<int> seen(size);
    const Order order(size, 1, 0);
    for (std::int64_t i = 0; i < size; ++i) ++seen[order(i)];
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), size);
  }
  int same = 0;
  for (int i = 0; i < 1000; ++i) same += Order(1000, 1, 0)(i) == Order(1000, 1, 1)(i);
  EXPECT_LT(same, 10);  // one is expected of two random permutations
}

TEST(LoaderTest, HandsOutTheSameBatchesForAnyNumberOfThreads) {
  const Dataset data = discs(50, 2);
  for (const int threads : {1, 2, 4}) {
    TrainOptions o = options();
    o.batch = 7, o.shift = 2, o.flip = true, o.loader_threads = threads;
    Loader loader(data, o, 21);
    for (int k = 0; k < 40; ++k) {
      const Batch want = make_batch(data, o, 21 + 7 * k, 7);
      const Batch& got = loader.next();
      ASSERT_EQ(got.pixels, want.pixels) << "batch " << k << ", " << threads << " threads";
      ASSERT_EQ(got.labels, want.labels);
      ASSERT_EQ(got.samples, want.samples);
    }
  }
}

TEST(LoaderTest, EveryImageComesOncePerEpoch) {
  const Dataset data = discs(50);
  TrainOptions o = options();
  const Batch epoch = make_batch(data, o, 50, 50);
  std::vector<std::vector<std::uint8_t>> got, want;
  for (int n = 0; n < 50; ++n) {
    got.emplace_back(epoch.pixels.begin() + n * 64, epoch.pixels.begin() + (n + 1) * 64);
    want.emplace_back(data.images().data.begin() + n * 64,
                      data.images().data.begin() + (n + 1) * 64);
  }
  EXPECT_NE(got, want) << "the order must be shuffled";
  std::sort(got.begin(), got.end()), std::sort(want.begin(), want.end());
  EXPECT_EQ(got, want);
}

TEST(LoaderTest, FlipsAndShiftsRepeatTheBorder) {
  Pixels one{{1, 1, 4, 1}, {10, 20, 30, 40}};
  const Dataset data(one);
  TrainOptions o = options();
  o.flip = true, o.shift = 1;
  std::vector<std::vector<std::uint8_t>> seen;
  for (int position = 0; position < 200; ++position)
    seen.push_back(make_batch(data, o, position, 1).pixels);
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const std::vector<std::vector<std::uint8_t>> want = {{10, 10, 20, 30}, {10, 20, 30, 40},
                                                       {20, 30, 40, 40}, {30, 20, 10, 10},
                                                       {40, 30, 20, 10}, {40, 40, 30, 20}};
  EXPECT_EQ(seen, want);
}

TEST(TrainOptionsTest, ComeBackFromJson) {
  TrainOptions o = options(77);
  o.optimizer = Optimizer::adamax_openai, o.schedule = Schedule::cosine, o.average = 0.25;
  o.seed = 0xffffffffffffffffu;
  EXPECT_EQ(TrainOptions::from_json(o.to_json()).to_json(), o.to_json());
  const auto message = [](const char* json) {
    try {
      TrainOptions::from_json(json);
      return std::string("no error");
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_EQ(message(R"({"learning_rat": 1})"), "train options: unknown key \"learning_rat\"");
  EXPECT_EQ(message(R"({"batch": 0})"), "train options: batch must be 1..65536; got 0");
  EXPECT_EQ(message(R"({"batch": 1.5})"), "train options: batch must be a whole number; got 1.5");
  EXPECT_EQ(message(R"({"batch": -2147483648})"),
            "train options: batch must be a whole number below 2^31 in size; got -2147483648");
  EXPECT_EQ(message(R"({"steps": 1099511627777})"),
            "train options: steps must be a whole number up to 2^40 in size; got 1099511627777");
  EXPECT_EQ(message(R"({"optimizer": "sgd"})"),
            "train options: optimizer must be one of the words that --help lists; got \"sgd\"");
}

}  // namespace
}  // namespace rheo::test
