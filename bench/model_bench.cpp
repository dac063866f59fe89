// The whole model on every device of this machine. Rows are
// work/device/model/precision[/memory]/N:batch.
//
// grow/ rows are a small model's with one thing changed, on the CPU: how time and memory grow with
// it. Their two batches are for the memory of one further image, in which weights play no part.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "bench/model_work.h"
#include "bench/peak_memory.h"

namespace rheo::bench {
namespace {

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

std::string name_of(const Case& c) {
  return c.compute.device.name() + "/" + c.model + "/" + name_of(kPrecisions, c.compute.precision);
}

/// Times the work, once it has run, and what memory it takes from then on, with its model's.
void measure(benchmark::State& state, const Case& c, Work work) {
  PeakMemory memory;
  const Job job = work(c);
  memory.restart();
  job();
  for ([[maybe_unused]] auto unused : state) job();
  const auto images = static_cast<double>(state.iterations() * c.batch);
  state.counters["images/s"] = benchmark::Counter(images, benchmark::Counter::kIsRate);
  if (c.compute.device.name() == "cpu" && memory.known())
    state.counters["peak_MiB"] = memory.mebibytes();
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
    c.batch = batch;
    add(work_name + "/" + name_of(c) + memory + "/N:" + std::to_string(batch), iterations,
        [=](benchmark::State& state) { measure(state, c, work); });
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
    rheo::bench::load_once({rheo::Device::cpu(), rheo::Precision::f32, rheo::Memory::full});
    rheo::bench::load_once({rheo::Device::cpu(), rheo::Precision::bf16, rheo::Memory::full});
    rheo::bench::add_rows();
  } catch (const rheo::Error& error) {
    std::cerr << "rheo_model_bench: " << error.what() << "\n";
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
