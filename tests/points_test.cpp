// Data sets of vectors, from the file to the batch.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rheo/rheo.h"
#include "src/data/match.h"
#include "src/train/loader.h"
#include "tests/support/files.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

/// Row n is (n, -n, n/2).
Dataset rows(int count) {
  Tensor points{{count, 3}, {}};
  for (int n = 0; n < count; ++n)
    for (const double factor : {1., -1., 0.5})
      points.data.push_back(static_cast<float>(factor * n));
  return Dataset(std::move(points));
}

void expect_refused(const std::string& path, const std::string& part,
                    const DatasetOptions& options = {}) {
  expect_error(Errc::bad_file, part, [&] { Dataset::open(path, options); });
}

TEST(PointsTest, AreVectorsWithoutLabels) {
  const Dataset data = rows(5);
  EXPECT_TRUE(data.is_points());
  EXPECT_EQ(data.size(), 5);
  EXPECT_EQ(data.dims(), 3);
  EXPECT_EQ(std::vector<int>({data.height(), data.width(), data.channels()}),
            (std::vector<int>{1, 1, 3}));
  EXPECT_EQ(data.classes(), 0);
  EXPECT_TRUE(data.labels().empty());
  EXPECT_TRUE(data.images().data.empty());
  const Dataset image({{1, 2, 3, 4}, Bytes(24)});
  EXPECT_FALSE(image.is_points());
  EXPECT_EQ(image.dims(), 24);
  EXPECT_TRUE(image.points().data.empty());
}

TEST(PointsTest, WrongArraysAreRefused) {
  const auto refuse = [](const std::string& part, Tensor points) {
    expect_error(Errc::invalid_argument, part, [&] { Dataset{points}; });
  };
  refuse("Dataset: points must be [N, D], none 0; got [2]", {{2}, {1, 2}});
  refuse("got [0, 2]", {{0, 2}, {}});
  refuse("got [2, 0]", {{2, 0}, {}});
  refuse("got [1, 1, 1, 2]", {{1, 1, 1, 2}, {1, 2}});
  refuse("points must fill the shape [2, 2]; got 3 values", {{2, 2}, {1, 2, 3}});
  refuse("points must be finite in float32; got nan in row 1, column 0", {{2, 2}, {1, 2, NAN, 4}});
  refuse("got -inf in row 0, column 1", {{2, 2}, {1, -INFINITY, 3, 4}});
}

TEST(PointsTest, ASliceIsSomeOfThem) {
  const Dataset part = rows(5).slice(3, 2);
  EXPECT_EQ(part.points().shape, (Shape{2, 3}));
  EXPECT_EQ(part.points().data, (std::vector<float>{3, -3, 1.5f, 4, -4, 2}));
  expect_error(Errc::invalid_argument, "must lie within 5 points; got 2 from 4",
               [] { rows(5).slice(4, 2); });
}

TEST(PointsTest, TheFingerprintTellsThemApart) {
  const auto print = [](Tensor points) { return Dataset(std::move(points)).fingerprint(); };
  const std::string plain = print({{2, 2}, {1, 2, 3, 4}});
  EXPECT_EQ(plain.substr(0, 4), "2x2-");
  EXPECT_EQ(plain.size(), 4u + 16u);
  EXPECT_EQ(plain, print({{2, 2}, {1, 2, 3, 4}}));
  EXPECT_NE(plain, print({{2, 2}, {1, 2, 3, std::nextafter(4.f, 5.f)}}));
  EXPECT_NE(plain.substr(4), print({{1, 4}, {1, 2, 3, 4}}).substr(4));
}

TEST(PointsTest, ComeFromAFileOfFloats) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npy";
  write_npy(path, Tensor{{2, 2}, {1, 2, 3, 0.1f}});
  const Dataset single = Dataset::open(path);
  EXPECT_EQ(single.points().data, (std::vector<float>{1, 2, 3, 0.1f}));
  write_npy(path, Array<double>{{2, 2}, {1, 2, 3, 0.1}});
  EXPECT_EQ(Dataset::open(path).fingerprint(), single.fingerprint());
}

TEST(PointsTest, OtherFilesAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npy";
  const std::string rule =
      "x.npy: must hold images, uint8 [N, H, W] or [N, H, W, C], or points, float32 or float64 [N, "
      "D]; got ";
  write_npy(path, Tensor{{1, 2, 2, 1}, {1, 2, 3, 4}});
  expect_refused(path, rule + "float32 [1, 2, 2, 1]");
  write_npy(path, Array<double>{{2}, {1, 2}});
  expect_refused(path, rule + "float64 [2]");
  write_npy(path, Array<std::int64_t>{{1, 2}, {1, 2}});
  expect_refused(path, rule + "int64 [1, 2]");
  write_npy(path, Tensor{{2, 2}, {1, 2, 3, NAN}});
  expect_refused(path, "x.npy: points must be finite in float32; got nan in row 1, column 1");
  write_npy(path, Array<double>{{1, 2}, {1, 1e300}});
  expect_refused(path, "x.npy: points must be finite in float32; got inf in row 0, column 1");
}

TEST(PointsTest, TakeNoOptionsOfImages) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npy";
  write_npy(path, Tensor{{1, 2}, {1, 2}});
  DatasetOptions sized, cropped, labelled;
  sized.height = 2, cropped.fit = Fit::crop, labelled.labels = path;
  expect_refused(path, "x.npy: must hold images, to bring to a size; got points [1, 2]", sized);
  expect_refused(path, "to bring to a size", cropped);
  expect_refused(path, "x.npy: must hold images, to have labels; got points [1, 2]", labelled);
}

TEST(PointsTest, MustMatchTheModel) {
  const auto refuse = [](const std::string& part, const ModelConfig& config, const Dataset& data) {
    expect_error(Errc::invalid_argument, part, [&] { require_match("Trainer", config, data); });
  };
  const ModelConfig three = ModelConfig::of_vectors(Family::realnvp, 3);
  EXPECT_NO_THROW(require_match("Trainer", three, rows(1)));
  refuse("Trainer: vectors must have D = 2 values; got 3", ModelConfig::of_vectors(Family::maf, 2),
         rows(1));
  const ModelConfig images = {.height = 8, .width = 8, .channels = 3};
  refuse("Trainer: images must be 8x8x3; got vectors of 3 values", images, rows(1));
  refuse("Trainer: a model of vectors takes points [N, 3]; got images of 1x1x3", three,
         Dataset({{1, 1, 1, 3}, Bytes(3)}));
}

TEST(PointsTest, AnImageModelRefusesToScoreThem) {
  Model model(small(), 0, f32());
  expect_error([&] { score(model, rows(2)); }, Errc::invalid_argument,
               "score: images must be 8x12x3; got vectors of 3 values");
}

TEST(PointsTest, TheirScoreIsInNats) {
  const ModelConfig two = ModelConfig::of_vectors(Family::realnvp, 2);
  const Score score = mean_score({-1, -3, -2, -6}, two);
  EXPECT_DOUBLE_EQ(score.nats, 3);
  EXPECT_DOUBLE_EQ(score.nats_standard_error, std::sqrt(14. / 3 / 4));
  EXPECT_DOUBLE_EQ(score.bits_per_dim, 3 / (2 * std::log(2.)));
  EXPECT_DOUBLE_EQ(score.standard_error, score.nats_standard_error / (2 * std::log(2.)));
  EXPECT_EQ(score.images, 4);
  const ModelConfig image = {.height = 2, .width = 2, .channels = 1, .levels = 1, .n_bits = 5};
  EXPECT_DOUBLE_EQ(mean_score({-3}, image).bits_per_dim, bits_per_dim(-3, 4, 5));
  EXPECT_DOUBLE_EQ(mean_score({-3}, image).nats_standard_error, 0);
}

TEST(PointsTest, EveryOneComesOncePerEpochInAnOrderOfItsOwn) {
  const Dataset data = rows(50);
  const TrainOptions options = {.seed = 3};
  std::vector<float> order[2];
  for (int epoch = 0; epoch < 2; ++epoch) {
    const Batch batch = make_batch(data, options, 50 * epoch, 50);
    EXPECT_TRUE(batch.pixels.empty());
    EXPECT_TRUE(batch.labels.empty());
    ASSERT_EQ(batch.points.size(), 150u);
    for (int n = 0; n < 50; ++n) {
      const float value = batch.points[3 * n];
      EXPECT_EQ(batch.points[3 * n + 1], -value) << "a row was torn";
      EXPECT_EQ(batch.points[3 * n + 2], value / 2);
      EXPECT_EQ(batch.samples[n], 50 * epoch + n);
      order[epoch].push_back(value);
    }
  }
  EXPECT_NE(order[0], order[1]);
  for (std::vector<float>& values : order) {
    EXPECT_FALSE(std::is_sorted(values.begin(), values.end()));
    std::sort(values.begin(), values.end());
    for (int n = 0; n < 50; ++n) EXPECT_EQ(values[n], n);
  }
}

TEST(PointsTest, AreInTheOrderThatImagesWouldBe) {
  Pixels pixels{{50, 1, 1, 1}, {}};
  for (int n = 0; n < 50; ++n) pixels.data.push_back(static_cast<std::uint8_t>(n));
  const Dataset images(std::move(pixels)), points = rows(50);
  const TrainOptions options = {.seed = 4};
  const Batch of_images = make_batch(images, options, 30, 40);
  const Batch of_points = make_batch(points, options, 30, 40);
  for (int n = 0; n < 40; ++n) EXPECT_EQ(of_points.points[3 * n], of_images.pixels[n]);
}

TEST(PointsTest, BatchesAreTheSameForAnyNumberOfThreads) {
  const Dataset data = rows(50);
  for (const int threads : {1, 3}) {
    const TrainOptions options = {.batch = 7, .seed = 5, .loader_threads = threads};
    Loader loader(data, options, 21);  // as a run does that is resumed after 21
    for (int k = 0; k < 20; ++k) {
      const Batch want = make_batch(data, options, 21 + 7 * k, 7);
      const Batch& got = loader.next();
      ASSERT_EQ(got.points, want.points) << "batch " << k << ", " << threads << " threads";
      ASSERT_EQ(got.samples, want.samples);
    }
  }
}

Dataset moons(std::int64_t count) {
  Tensor points = toy_points(Toy::moons, count);
  standardise(points);
  return Dataset(std::move(points));
}

ModelConfig small_vectors(Family family, int dims = 2) {
  ModelConfig config = ModelConfig::of_vectors(family, dims);
  config.hidden = 16;
  return config;
}

TEST(PointsTest, ATrainerCountsInNatsAndResumesBitForBit) {
  const Dataset data = moons(100);  // epochs end in the middle of batches
  const ModelConfig config = small_vectors(Family::realnvp);
  TrainOptions options = {
      .steps = 8, .batch = 16, .accumulate = 2, .warmup_images = 0, .init_images = 64, .seed = 3};
  Trainer whole(Model(config, 1, f32()), data, options);
  std::vector<StepReport> reports;
  for (int i = 0; i < 8; ++i) reports.push_back(whole.step());
  EXPECT_DOUBLE_EQ(reports[0].bits_per_dim, reports[0].nats / (2 * std::log(2.)));
  // N(0, 1) gives standardised data log(2 pi) + 1 = 2.84 nats; an untrained flow moves them a bit.
  EXPECT_GT(reports[0].nats, 2.3);
  EXPECT_LT(reports[0].nats, 6);

  const TemporaryFolder folder;
  options.loader_threads = 3;
  Trainer first(Model(config, 1, f32()), data, options);
  for (int i = 0; i < 3; ++i) first.step();
  first.save(folder.path());
  Trainer second = Trainer::resume(folder.path(), data);
  for (int i = 3; i < 8; ++i) EXPECT_EQ(second.step().nats, reports[i].nats) << "step " << i;
  const Dataset other = moons(99);
  expect_error(Errc::bad_file, "the run's data were 100x2-",
               [&] { Trainer::resume(folder.path(), other); });
}

TEST(PointsTest, ATrainerRefusesWhatDoesNotFit) {
  const Dataset data = moons(20);
  const auto refuse = [&](const ModelConfig& config, const TrainOptions& options,
                          const std::string& text) {
    expect_error([&] { Trainer(Model(config, 0, f32()), data, options); }, Errc::invalid_argument,
                 text);
  };
  refuse(small_vectors(Family::realnvp, 3), {}, "Trainer: vectors must have D = 3 values; got 2");
  refuse(small(), {}, "Trainer: images must be 8x12x3; got vectors of 2 values");
  const std::string images = "Trainer: flip and shift are for images; the data are vectors";
  refuse(small_vectors(Family::maf), {.flip = true}, images);
  refuse(small_vectors(Family::maf), {.shift = 1}, images);
}

TEST(PointsTest, TheScoreIsTheMeanOfLogP) {
  const Dataset data = moons(50);
  Model model(small_vectors(Family::maf), 0, f32());
  model.initialize(data.points());
  const std::vector<double> log_prob = model.log_prob(data.points());
  const Score whole = score(model, data), again = mean_score(log_prob, model.config());
  EXPECT_EQ(whole.nats, again.nats);
  EXPECT_EQ(whole.nats_standard_error, again.nats_standard_error);
  EXPECT_EQ(whole.images, 50);
}

}  // namespace
}  // namespace rheo::test
