// The whole model through the public API, on every device of this machine: a training step (loading
// and upload of images included), sampling, and scores, in images a second. Rows are
// work/device/model/precision[/memory]/N:batch.

#include <benchmark/benchmark.h>

#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "rheo/rheo.h"

namespace rheo::bench {
namespace {

struct Case {
  std::string model;
  ModelConfig config;
  Compute compute;
  int batch = 0;

  std::string name() const;
};

/// All three sizes of CIFAR-10: the paper's network, and one that a CPU trains in minutes.
const std::pair<const char*, ModelConfig> kModels[] = {
    {"paper", ModelConfig{}},
    {"small", {.steps = 8, .hidden = 128}},
};
const std::pair<const char*, Precision> kPrecisions[] = {{"f32", Precision::f32},
                                                         {"bf16", Precision::bf16}};
const std::pair<const char*, Memory> kMemories[] = {
    {"full", Memory::full}, {"state", Memory::state}, {"invert", Memory::invert}};

template <class Pairs, class Value>
const char* name_of(const Pairs& pairs, Value value) {
  for (const auto& [name, one] : pairs)
    if (one == value) return name;
  return "automatic";
}

std::string Case::name() const {
  return compute.device.name() + "/" + model + "/" + name_of(kPrecisions, compute.precision);
}

/// Noise: the time of a step does not depend on what the images show.
const Dataset& images() {
  static const Dataset data = [] {
    constexpr std::int64_t kImages = 1024;
    const ModelConfig config;
    Pixels pixels = {{kImages, config.height, config.width, config.channels}, {}};
    std::minstd_rand bits(1);
    pixels.data.resize(static_cast<std::size_t>(kImages * config.dims()));
    for (auto& value : pixels.data) value = static_cast<std::uint8_t>(bits() >> 8);
    return Dataset(std::move(pixels));
  }();
  return data;
}

Tensor batch_of(const Case& c) {
  return dequantize(images().slice(0, c.batch).images(), c.config.n_bits, Noise::uniform(1));
}

/// After some updates, so that no weight is still zero: zeros may multiply faster.
Trainer trained(const Case& c) {
  TrainOptions options;
  options.batch = options.init_images = c.batch;
  options.optimizer = Optimizer::adam;
  options.learning_rate = 1e-4;
  options.warmup_images = 0;
  Trainer trainer(Model(c.config, 1, c.compute), images(), options);
  for (int i = 0; i < 3; ++i) trainer.step();
  return trainer;
}

constexpr int kTrainedOn = 8;  // images at a time, where training is not what is measured

void report(benchmark::State& state, int batch) {
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * batch,
                                                  benchmark::Counter::kIsRate);
}

void train(benchmark::State& state, const Case& c) {
  Trainer trainer = trained(c);
  for ([[maybe_unused]] auto unused : state)
    if (trainer.step().skipped) return state.SkipWithError("an update was skipped as not finite");
  report(state, c.batch);
}

void sample(benchmark::State& state, const Case& c) {
  Model model = trained({c.model, c.config, c.compute, kTrainedOn}).release();
  SampleOptions options;
  model.sample(c.batch, options);
  for ([[maybe_unused]] auto unused : state) {
    ++options.seed;
    benchmark::DoNotOptimize(model.sample(c.batch, options).data.data());
  }
  report(state, c.batch);
}

void score(benchmark::State& state, const Case& c) {
  Model model = trained({c.model, c.config, c.compute, kTrainedOn}).release();
  const Tensor x = batch_of(c);
  model.log_prob(x);
  for ([[maybe_unused]] auto unused : state) benchmark::DoNotOptimize(model.log_prob(x).data());
  report(state, c.batch);
}

using Work = void (*)(benchmark::State&, const Case&);

/// A fixed number, so that the model is made once a row; some ten seconds on a CPU.
int iterations(const Case& c) {
  if (c.compute.device.name() != "cpu") return 50;
  return c.model == "paper" ? 3 : 10;
}

/// What this device lacks (a precision, a memory mode, the room) is said in the row.
void add(const std::string& name, const Case& c, Work work) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 try {
                                   work(state, c);
                                 } catch (const Error& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->Iterations(iterations(c))
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

struct Batches {
  std::vector<int> train, sample, score;
};

Batches batches_for(const Device& device, const std::string& model) {
  if (device.name() != "cpu") return {{64, 512}, {1, 64}, {512}};
  if (model == "paper") return {{4}, {1}, {4}};
  return {{16, 64}, {1, 64}, {64}};
}

void add_case(Case c) {
  const Batches batches = batches_for(c.compute.device, c.model);
  const auto add_all = [&](const char* kind, const std::vector<int>& sizes, const char* memory,
                           Work work) {
    for (c.batch = 0; const int size : sizes) {
      c.batch = size;
      add(std::string(kind) + "/" + c.name() + memory + "/N:" + std::to_string(size), c, work);
    }
  };
  for (const auto& [name, memory] : kMemories) {
    c.compute.memory = memory;
    add_all("train", batches.train, (std::string("/") + name).c_str(), train);
  }
  c.compute.memory = Memory::automatic;
  add_all("sample", batches.sample, "", sample);
  add_all("score", batches.score, "", score);
}

std::vector<Device> devices() {
  std::vector<Device> found = {Device::cpu()};
  try {
    found.push_back(Device::from_name("cuda"));
  } catch (const Error& error) {
    if (error.code() != Errc::unsupported) throw;
    std::cerr << error.what() << "; rows of the CPU only\n";
  }
  return found;
}

void add_rows() {
  for (const Device& device : devices())
    for (const auto& [model, config] : kModels)
      for (const auto& [name, precision] : kPrecisions)
        add_case({model, config, {device, precision, Memory::automatic}, 0});
}

}  // namespace
}  // namespace rheo::bench

int main(int count, char** words) {
  try {
    rheo::bench::add_rows();
  } catch (const rheo::Error& error) {
    std::cerr << "rheo_model_bench: " << error.what() << "\n";
    return 1;
  }
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
