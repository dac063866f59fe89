// The whole model through the public API, on every device of this machine: a training step (loading
// and upload of images included), sampling, and scores, in images a second; at batch 1 the time of
// a sample is its latency. Rows are work/device/model/precision[/memory]/N:batch.
//
// grow/ rows are a small model's with one thing changed, on the CPU: how time and memory grow with
// it. Their two batches are for the memory of one further image, in which weights play no part.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/peak_memory.h"
#include "rheo/rheo.h"

namespace rheo::bench {
namespace {

struct Case {
  std::string model;
  ModelConfig config;
  Compute compute;
  int batch = 0;
  int iterations = 0;  // a fixed number, so that the model is made once a row

  bool on_cpu() const { return compute.device.name() == "cpu"; }
  std::string name() const;
};

/// All three sizes of CIFAR-10: the paper's network, and one that a CPU trains in minutes.
const ModelConfig kPaper, kSmall = {.steps = 8, .hidden = 128};
const std::pair<const char*, ModelConfig> kModels[] = {{"paper", kPaper}, {"small", kSmall}};
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
Dataset images_for(const Case& c) {
  const std::int64_t count = std::max(2 * c.batch, 64);
  Pixels pixels = {{count, c.config.height, c.config.width, c.config.channels}, {}};
  std::minstd_rand bits(1);
  pixels.data.resize(static_cast<std::size_t>(count * c.config.dims()));
  for (auto& value : pixels.data) value = static_cast<std::uint8_t>(bits() >> 8);
  return Dataset(std::move(pixels));
}

/// After some updates, so that no weight is still zero: zeros may multiply faster.
Trainer trained(const Case& c, const Dataset& data) {
  TrainOptions options;
  options.batch = c.batch;
  options.init_images = 16;  // whatever the batch, of whose memory they are to be no part
  options.optimizer = Optimizer::adam;
  options.learning_rate = 1e-6;  // more, with no warm-up, and 96 steps are soon not invertible
  options.warmup_images = 0;
  Trainer trainer(Model(c.config, 1, c.compute), data, options);
  for (int i = 0; i < 2; ++i) trainer.step();
  return trainer;
}

/// Where training is not what is measured.
Model trained_model(Case c, const Dataset& data) {
  c.batch = 8;
  return trained(c, data).release();
}

/// Times f, which handles the case's batch, once it has run, and what memory it takes from then on.
template <class F>
void measure(benchmark::State& state, const Case& c, PeakMemory& memory, const F& f) {
  memory.restart();
  f();
  for ([[maybe_unused]] auto unused : state) f();
  const auto images = static_cast<double>(state.iterations() * c.batch);
  state.counters["images/s"] = benchmark::Counter(images, benchmark::Counter::kIsRate);
  if (c.on_cpu() && memory.known()) state.counters["peak_MiB"] = memory.mebibytes();
}

void train(benchmark::State& state, const Case& c) {
  const Dataset data = images_for(c);
  PeakMemory memory;
  Trainer trainer = trained(c, data);
  bool skipped = false;
  measure(state, c, memory, [&] { skipped |= trainer.step().skipped; });
  if (skipped) state.SkipWithError("an update was skipped as not finite");
}

void sample(benchmark::State& state, const Case& c) {
  const Dataset data = images_for(c);
  PeakMemory memory;
  Model model = trained_model(c, data);
  SampleOptions options;
  measure(state, c, memory, [&] {
    ++options.seed;
    benchmark::DoNotOptimize(model.sample(c.batch, options).data.data());
  });
}

void score(benchmark::State& state, const Case& c) {
  const Dataset data = images_for(c);
  const Tensor x = dequantize(data.slice(0, c.batch).images(), c.config.n_bits, Noise::uniform(1));
  PeakMemory memory;
  Model model = trained_model(c, data);
  measure(state, c, memory, [&] { benchmark::DoNotOptimize(model.log_prob(x).data()); });
}

using Work = void (*)(benchmark::State&, const Case&);

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
      ->Iterations(c.iterations)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

struct Times {
  int batch, iterations;
};

struct Batches {
  std::vector<Times> train, sample, score;
};

/// On a CPU some seconds a row.
Batches batches_for(const Device& device, const std::string& model) {
  if (device.name() != "cpu") return {{{64, 50}, {512, 50}}, {{1, 50}, {64, 50}}, {{512, 50}}};
  // Training at 8 and 32 is for the memory of one further image.
  if (model == "paper") return {{{8, 2}, {16, 4}, {32, 2}}, {{1, 50}, {16, 4}}, {{16, 4}}};
  return {{{32, 10}, {64, 5}}, {{1, 200}, {64, 10}}, {{64, 10}}};
}

void add_all(const std::string& work_name, Case c, const std::string& memory,
             const std::vector<Times>& all, Work work) {
  for (const auto& [batch, iterations] : all) {
    c.batch = batch, c.iterations = iterations;
    add(work_name + "/" + c.name() + memory + "/N:" + std::to_string(batch), c, work);
  }
}

void add_training(const std::string& work_name, Case c, const std::vector<Times>& all) {
  for (const auto& [name, memory] : kMemories) {
    c.compute.memory = memory;
    add_all(work_name, c, std::string("/") + name, all, train);
  }
}

void add_case(const Case& c) {
  const Batches batches = batches_for(c.compute.device, c.model);
  add_training("train", c, batches.train);
  add_all("sample", c, "", batches.sample, sample);
  add_all("score", c, "", batches.score, score);
}

const struct {
  const char* name;
  void (*set)(ModelConfig&, int);
  std::vector<int> values;
} kAxes[] = {
    {"size", [](ModelConfig& c, int value) { c.height = c.width = value; }, {16, 32, 64, 128}},
    {"depth", [](ModelConfig& c, int value) { c.steps = value; }, {4, 8, 16, 32, 64}},
    {"width", [](ModelConfig& c, int value) { c.hidden = value; }, {64, 128, 256, 512, 1024}},
};

void add_growth(const Compute& compute) {
  constexpr const char* kWork = "grow/train";
  for (const auto& axis : kAxes)
    for (const int value : axis.values) {
      Case c = {axis.name + (":" + std::to_string(value)), kSmall, compute};
      axis.set(c.config, value);
      add_training(kWork, c, {{4, 2}, {16, 4}});
    }
  for (int batch = 1; batch <= 128; batch *= 2)
    add_training(kWork, {"batch:" + std::to_string(batch), kSmall, compute},
                 {{batch, std::max(4, 32 / batch)}});
}

/// So that what a process loads once and keeps is not counted in whichever row comes first.
void load_once() {
  for (const auto& [name, precision] : kPrecisions) {
    const Case c = {"small", kSmall, {Device::cpu(), precision, Memory::full}};
    try {
      trained_model(c, images_for(c)).sample(1);
    } catch (const Error& error) {
      if (error.code() != Errc::unsupported) throw;  // a machine without bf16
    }
  }
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
        add_case({model, config, {device, precision, Memory::automatic}});
  for (const auto& [name, precision] : kPrecisions)
    add_growth({Device::cpu(), precision, Memory::automatic});
}

}  // namespace
}  // namespace rheo::bench

int main(int count, char** words) {
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words)) return 2;
  try {
    rheo::bench::load_once();
    rheo::bench::add_rows();
  } catch (const rheo::Error& error) {
    std::cerr << "rheo_model_bench: " << error.what() << "\n";
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
