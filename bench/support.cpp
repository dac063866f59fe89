#include "bench/support.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "kernels/cpu/backend.h"
#include "rheo/error.h"
#include "src/cuda_backend.h"

namespace rheo::bench {
namespace {

/// The GPU's, where there is one.
const Backend* gpu() {
  static const Backend* const found = []() -> const Backend* {
    try {
      const Backend& backend = cuda_backend();
      backend.require_fitting(0);
      return &backend;
    } catch (const Error&) {
      return nullptr;  // rows of a machine without one
    }
  }();
  return found;
}

bool on_gpu(const Backend& backend) {
  return &backend == gpu();
}

/// Seconds of one f, which queues work.
double seconds_of(const Backend& backend, const std::function<void()>& f) {
  const int calls = on_gpu(backend) ? 20 : 1;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) f();
  backend.synchronize(nullptr);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

/// The best of some runs, the first of which warms up.
double best_seconds(const Backend& backend, const std::function<void()>& f) {
  double best = seconds_of(backend, f);
  for (int i = 0; i < 20; ++i) best = std::min(best, seconds_of(backend, f));
  return best;
}

/// A copy that reads and writes so many bytes in all, on all threads.
std::function<void()> copy_of(const Backend& backend, Memory& memory, std::int64_t bytes) {
  constexpr std::int64_t kPieces = 16;
  const std::int64_t piece = std::max<std::int64_t>(bytes / 2 / kPieces, 1);
  const auto* from = reinterpret_cast<char*>(memory.floats(kPieces * piece / 4 + 1));
  auto* to = reinterpret_cast<char*>(memory.floats(kPieces * piece / 4 + 1));
  if (on_gpu(backend))
    return [=, &backend] {
      backend.copy(to, from, static_cast<std::size_t>(kPieces * piece), nullptr);
    };
  return [=, &backend] {
#pragma omp parallel for
    for (std::int64_t i = 0; i < kPieces; ++i)
      backend.copy(to + i * piece, from + i * piece, static_cast<std::size_t>(piece), nullptr);
  };
}

constexpr std::int64_t kProductRows = 4096;
constexpr int kProductWidth = 512;
constexpr std::int64_t kProductFlops = 2 * kProductRows * kProductWidth * kProductWidth;

/// A product large enough to show the machine's peak, its weight packed as models have it.
std::function<void()> product_of(const Backend& backend, Memory& memory, Dtype type) {
  const void* weight = memory.values(type, std::int64_t{kProductWidth} * kProductWidth);
  const LinearArgs args = {.rows = kProductRows,
                           .in = kProductWidth,
                           .out = kProductWidth,
                           .type = type,
                           .x = memory.values(type, kProductRows * kProductWidth),
                           .weight = weight,
                           .packed = memory.packed(type, kProductWidth, kProductWidth, weight),
                           .bias = nullptr,
                           .relu = false,
                           .y_type = type,
                           .y = memory.values(type, kProductRows * kProductWidth),
                           .mask = nullptr};
  return [=, &backend] { backend.linear_forward(args, nullptr); };
}

double copy_rate(const Backend& backend, std::int64_t bytes) {
  static std::map<std::pair<const Backend*, std::int64_t>, double> rates;
  double& rate = rates[{&backend, bytes}];
  if (rate == 0) {
    Memory memory(backend);
    rate = static_cast<double>(bytes) / best_seconds(backend, copy_of(backend, memory, bytes));
  }
  return rate;
}

double product_rate(const Backend& backend, Dtype type) {
  static std::map<std::pair<const Backend*, Dtype>, double> rates;
  double& rate = rates[{&backend, type}];
  if (rate == 0) {
    Memory memory(backend);
    rate = static_cast<double>(kProductFlops) /
           best_seconds(backend, product_of(backend, memory, type));
  }
  return rate;
}

/// `work` units a call, at most `best_rate` of them a second.
void measure(benchmark::State& state, const Backend& backend, double work, const char* unit,
             double best_rate, const char* share, const std::function<void()>& f) {
  f();
  double seconds = 0;
  for ([[maybe_unused]] auto unused : state) {
    const double once = seconds_of(backend, f);
    state.SetIterationTime(once);
    seconds += once;
  }
  const double rate = work * static_cast<double>(state.iterations()) / seconds;
  state.counters[unit] = rate / 1e9;
  state.counters[share] = rate / best_rate;
}

void add_row(const Backend& backend, const std::string& op, const std::string& shape,
             const Row& row) {
  static std::set<std::string> names;
  const std::string name = op + "/" + backend.instruction_set + "/" + shape;
  if (!names.insert(name).second) return;
  auto* const added = benchmark::RegisterBenchmark(
      name.c_str(), [&backend, row](benchmark::State& state) { row(state, backend); });
  added->UseManualTime()->Unit(benchmark::kMicrosecond);
  // Not tried first with fewer: to fill a GPU's memory for a row takes far longer than its calls.
  if (on_gpu(backend)) added->Iterations(25);
}

const bool registered = [] {
  for (const std::int64_t mebibytes : {1, 8, 64, 512})
    add(mebibytes > 64 ? On::gpu : On::widest, "copy", std::to_string(mebibytes) + "MiB",
        [=](benchmark::State& state, const Backend& backend) {
          const std::int64_t bytes = mebibytes << 20;
          Memory memory(backend);
          measure_bytes(state, backend, bytes, copy_of(backend, memory, bytes));
        });
  for (const Dtype type : {Dtype::f32, Dtype::bf16})
    add(On::widest, "product", type == Dtype::f32 ? "f32" : "bf16",
        [=](benchmark::State& state, const Backend& backend) {
          if (type == Dtype::bf16 && !backend.has_bf16())
            return state.SkipWithError("no bf16 on this machine");
          Memory memory(backend);
          measure_flops(state, backend, type, kProductFlops, product_of(backend, memory, type));
        });
  return true;
}();

}  // namespace

std::string Level::name() const {
  return "N:" + std::to_string(count) + "/H:" + std::to_string(height) +
         "/W:" + std::to_string(width) + "/C:" + std::to_string(channels);
}

Memory::~Memory() {
  for (void* block : blocks_) backend_->release(block);
}

void* Memory::upload(const void* from, std::size_t bytes) {
  blocks_.push_back(backend_->allocate(bytes));
  backend_->copy(blocks_.back(), from, bytes, nullptr);
  backend_->synchronize(nullptr);
  return blocks_.back();
}

void* Memory::values(Dtype type, std::int64_t count) {
  std::minstd_rand bits(1);
  std::uniform_real_distribution<float> draw(-0.2f, 0.2f);
  constexpr std::size_t kPeriod = 1 << 20;  // what follows repeats: only the first is drawn
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = i < kPeriod ? draw(bits) : values[i - kPeriod];
  if (type == Dtype::f32) return put(values);
  std::vector<std::uint16_t> halves(values.size());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    std::uint32_t word;
    std::memcpy(&word, &values[i], sizeof word);
    halves[i] = static_cast<std::uint16_t>(word >> 16);
  }
  return put(halves);
}

const void* Memory::packed(Dtype type, int in, int out, const void* weight) {
  LinearPack pack = {in, out, type, weight, nullptr};
  const std::size_t bytes = backend_->packed_bytes(pack);
  if (bytes == 0) return nullptr;
  pack.packed = floats(static_cast<std::int64_t>((bytes + 3) / 4));
  backend_->pack(&pack, 1, nullptr);
  return pack.packed;
}

bool add(On on, const std::string& op, const std::string& shape, const Row& row) {
  const Backend* found[cpu::kMaxVariants];
  const int count = cpu::variants(found);
  const int first = on == On::all ? 0 : on == On::gpu ? count : count - 1;
  for (int i = first; i < count; ++i) add_row(*found[i], op, shape, row);
  if (gpu()) add_row(*gpu(), op, shape, row);
  return true;
}

void measure_bytes(benchmark::State& state, const Backend& backend, std::int64_t bytes,
                   const std::function<void()>& f) {
  measure(state, backend, static_cast<double>(bytes), "GB/s", copy_rate(backend, bytes), "of_copy",
          f);
}

void measure_flops(benchmark::State& state, const Backend& backend, Dtype type, std::int64_t flops,
                   const std::function<void()>& f) {
  measure(state, backend, static_cast<double>(flops), "GFLOP/s", product_rate(backend, type),
          "of_product", f);
}

}  // namespace rheo::bench
