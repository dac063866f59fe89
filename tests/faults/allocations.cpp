// Every allocation fails once: of create, score, sample, train, save and load. It must come out as
// Error out_of_memory, leave nothing behind, and the model as it was.
//
// With --cold AT [others] [lasting] one process does it all once with allocation AT failing, then
// once more, and prints a number that must be that of --cold 0. Exit status: 0 good, 3 there are
// fewer allocations than AT, 1 bad.

#include <gtest/gtest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "rheo/rheo.h"
#include "tests/faults/failing_memory.h"
#include "tests/support/files.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

ModelConfig tiny() {
  return {.height = 4, .width = 4, .channels = 3, .levels = 1, .steps = 1, .hidden = 5};
}

Compute on_cpu() {
  return {.device = Device::cpu(1), .precision = Precision::f32, .memory = Memory::full};
}

const TrainOptions kOptions{.steps = 4, .batch = 3, .average = 0.5, .init_images = 4, .flip = true};

/// "ok" after Error out_of_memory or a result, else what came.
template <class F>
std::string outcome_of(const F& f) {
  try {
    f();
    return "ok";
  } catch (const Error& error) {
    return error.code() == Errc::out_of_memory ? "ok" : error.what();
  } catch (const std::exception& error) {
    return std::string("no Error of ours: ") + error.what();
  }
}

/// What a process of its own makes of f with allocation `at` failing, and of f once more; `same`
/// must hold afterwards. Empty where all is well; `failed` tells whether it came to that
/// allocation.
std::string tried(const std::function<void()>& f, const std::function<bool()>& same,
                  std::int64_t at, bool& failed) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    static const int end = ends[1];
    std::set_terminate([] {
      const std::string text = "the process ended itself" + who_failed();
      [[maybe_unused]] const ssize_t put = write(end, text.data(), text.size());
      _exit(1);
    });
    const std::int64_t before = held_blocks();
    std::string wrong;
    {
      const FailingMemory memory({.at = at});
      wrong = outcome_of(f);
      failed = memory.failed();
    }
    if (wrong == "ok" && !same()) wrong = "it computes something else than before";
    if (wrong == "ok") wrong = outcome_of(f);
    // One for what a library keeps once it has met a failure.
    if (wrong == "ok" && held_blocks() > before + 1)
      wrong = std::to_string(held_blocks() - before) + " blocks are not given back";
    if (wrong == "ok") _exit(failed ? 0 : 3);
    wrong += who_failed();
    [[maybe_unused]] const ssize_t put = write(ends[1], wrong.data(), wrong.size());
    _exit(1);
  }
  close(ends[1]);
  std::string text(4096, ' ');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(ends[0], text.data(), 4096))));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  failed = !WIFEXITED(status) || WEXITSTATUS(status) != 3;
  if (WIFSIGNALED(status)) return "it was ended by signal " + std::to_string(WTERMSIG(status));
  return text;
}

class AllocationsTest : public testing::Test {
 protected:
  /// Fails each allocation of f in turn. What is made once has been made.
  void expect_errors(const std::function<void()>& f) {
    const auto drawn = model_.sample(2, {.seed = 7}).data;
    const auto same = [&] { return model_.sample(2, {.seed = 7}).data == drawn; };
    f(), f();
    // All of them take minutes where a model is read (tests/soak/memory.py).
    const bool all = std::getenv("RHEO_ALL_ALLOCATIONS") != nullptr;
    std::int64_t at = 1;
    for (bool failed = true; failed; at += all || at < 40 ? 1 : 11)
      EXPECT_EQ(tried(f, same, at, failed), "") << "allocation " << at;
    EXPECT_GT(at, 3) << "nothing was tried";
  }

  const TemporaryFolder folder_;
  Model model_ = random_model(tiny(), on_cpu());
  const Tensor x_ = noise_images(tiny(), 5);
  const Dataset data_{quantize(x_, 8)};
};

TEST_F(AllocationsTest, OfCreating) {
  expect_errors([] { Model(tiny(), 3, on_cpu()); });
}

TEST_F(AllocationsTest, OfScoringAndEncoding) {
  expect_errors([&] { model_.log_prob(x_); });
  expect_errors([&] { model_.encode(x_); });
  expect_errors([&] { score(model_, data_); });
}

TEST_F(AllocationsTest, OfSampling) {
  expect_errors([&] {
    model_.impl().release_room();
    model_.sample(3);
  });
  expect_errors([&] { model_.plan(); });
}

TEST_F(AllocationsTest, OfSavingAndLoading) {
  const std::string path = folder_ / "model.safetensors";
  expect_errors([&] { model_.save(path); });
  EXPECT_EQ(folder_.entries(), 1) << "no part of a file is left";
  expect_errors([&] { Model::load(path, on_cpu()); });
  expect_errors([&] { inspect_checkpoint(path); });
}

TEST_F(AllocationsTest, OfTraining) {
  expect_errors([&] {
    Trainer trainer(Model(tiny(), 1, on_cpu()), data_, kOptions);
    trainer.step();
    trainer.model();
  });
}

/// An update that failed has not happened, and what could not be fetched for the next is fetched
/// then: a run goes on as if it had never met it.
TEST_F(AllocationsTest, OfOneUpdate) {
  const auto trained = [&](std::int64_t failing) {
    Trainer trainer(Model(tiny(), 1, on_cpu()), data_, kOptions);
    trainer.step();
    std::string outcome;
    {
      const FailingMemory memory({.at = failing});
      outcome = outcome_of([&] { trainer.step(); });
    }
    EXPECT_EQ(outcome, "ok") << who_failed();
    while (trainer.steps_done() < 3)
      EXPECT_EQ(outcome_of([&] { trainer.step(); }), "ok") << who_failed();
    return trainer.model().sample(2, {.seed = 1}).data;
  };
  const auto want = trained(0);
  for (std::int64_t at = 1; at < 60; ++at)
    ASSERT_EQ(trained(at), want) << "allocation " << at << who_failed();
}

TEST_F(AllocationsTest, OfSavingAndResumingARun) {
  Trainer trainer(Model(tiny(), 1, on_cpu()), data_, kOptions);
  trainer.step();
  expect_errors([&] { trainer.save(folder_.path()); });
  EXPECT_EQ(folder_.entries(), 2);
  expect_errors([&] { Trainer::resume(folder_.path(), data_, on_cpu()); });
}

TEST_F(AllocationsTest, OfReadingAndWritingFiles) {
  const std::string array = folder_ / "x.npy", image = folder_ / "x.png";
  const Pixels picture{{1, 4, 4, 3}, Bytes(48, 7)};
  const NpyArray values = Tensor{{5, 48}, x_.data};
  expect_errors([&] { write_npy(array, values); });
  expect_errors([&] { read_npy(array); });
  expect_errors([&] { write_png(image, picture); });
  expect_errors([&] { read_image(image); });
  expect_errors([&] { Dataset::open(array); });
  expect_errors([&] { TrainOptions::from_json(kOptions.to_json()); });
  expect_errors([&] { ModelConfig::from_json(tiny().to_json()); });
  expect_errors([&] { toy_points(Toy::moons, 20); });
}

/// All that a process does with a model, from nothing; a number for what came out.
std::size_t whole_life(const std::string& folder, const Tensor& x, const Dataset& data) {
  Trainer trainer(Model(tiny(), 1, on_cpu()), data, kOptions);
  trainer.step();
  trainer.save(folder);
  Trainer resumed = Trainer::resume(folder, data, on_cpu());
  resumed.step();
  Model model = Model::load(folder + "/model.safetensors", on_cpu());
  std::size_t number = 0;
  const auto add = [&](auto value) { number = number * 1000003 ^ std::hash<double>()(value); };
  for (float value : model.sample(3).data) add(value);
  for (double value : model.log_prob(x)) add(value);
  for (float value : resumed.model().encode(x).data) add(value);
  return number;
}

int run_cold(int count, char** words) {
  Failing failing{.at = std::atoll(words[0])};
  for (int i = 1; i < count; ++i) {
    failing.of_others = failing.of_others || std::strcmp(words[i], "others") == 0;
    failing.lasting = failing.lasting || std::strcmp(words[i], "lasting") == 0;
  }
  const TemporaryFolder folder;
  const std::string path = folder.path();
  const Tensor x = noise_images(tiny(), 5);
  const Dataset data(quantize(x, 8));
  std::string outcome;
  bool failed = false;
  {
    const FailingMemory memory(failing);
    outcome = outcome_of([&] { whole_life(path, x, data); });
    failed = memory.failed();
  }
  if (outcome != "ok") {
    std::printf("allocation %s: %s%s\n", words[0], outcome.c_str(), who_failed().c_str());
    return 1;
  }
  std::printf("%zu\n", whole_life(path, x, data));
  return failed || failing.at == 0 ? 0 : 3;
}

}  // namespace
}  // namespace rheo::test

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--cold") == 0)
    return rheo::test::run_cold(argc - 2, argv + 2);
  omp_set_num_threads(1);  // a process that is forked has none of its parent's threads
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
