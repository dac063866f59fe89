// What steps gain that no model can be run without: what a call of oneDNN costs besides its
// product, what the shape of a tile decides, and a loop that vectorises. Rows are gain/part/step.

#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "bench/gain.h"
#include "bench/support.h"
#include "kernels/cpu/products.h"
#include "kernels/step.h"

namespace rheo::bench {
namespace {

using dnnl::memory;

constexpr int kWidth = 512;  // of the paper's network

/// A product of few rows of a small network, whose weight is packed, called with more or less of
/// what it needs made before.
class Call {
 public:
  explicit Call(Memory& room)
      : x_(room.floats(kRows * kSmallWidth)),
        weight_(room.floats(2 * kSmallWidth * kSmallWidth)),  // packed it may be larger
        y_(room.floats(kRows * kSmallWidth)) {}

  void run() { primitive_.execute(stream_, kept_); }
  void run_with_new_objects() { primitive_.execute(stream_, objects()); }
  void run_with_new_primitive() { dnnl::matmul(chosen()).execute(stream_, kept_); }

 private:
  static constexpr int kRows = 8, kSmallWidth = 128;

  memory::desc values(int rows, memory::format_tag form) const {
    return {{rows, kSmallWidth}, memory::data_type::f32, form};
  }
  memory::desc rows() const { return values(kRows, memory::format_tag::ab); }
  dnnl::matmul::primitive_desc chosen() const {
    return {{rows(), values(kSmallWidth, memory::format_tag::any), rows()}, engine_};
  }
  std::unordered_map<int, memory> objects() const {
    return {{DNNL_ARG_SRC, {rows(), engine_, x_}},
            {DNNL_ARG_WEIGHTS, {packed_, engine_, weight_}},
            {DNNL_ARG_DST, {rows(), engine_, y_}}};
  }

  void *x_, *weight_, *y_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  memory::desc packed_ = chosen().weights_desc();
  dnnl::matmul primitive_{chosen()};
  std::unordered_map<int, memory> kept_ = objects();
};

template <void (Call::*kWithout)()>
void call(benchmark::State& state, const Backend& backend) {
  Memory room(backend);
  const int threads = backend.set_threads(1);
  Call call(room);
  in_turns(
      state, [&] { call.run(); }, [&] { (call.*kWithout)(); }, 1000);
  backend.set_threads(threads);
}

/// 64 rows, as the last level of four images has them, in tiles for all threads or in one for one.
void few_rows(benchmark::State& state, const Backend& backend) {
  constexpr std::int64_t kRows = 64;
  const Dtype type = backend.has_bf16() ? Dtype::bf16 : Dtype::f32;
  Memory room(backend);
  const void *x = room.values(type, kRows * kWidth), *weight = room.values(type, kWidth * kWidth);
  void* y = room.values(type, kRows * kWidth);
  const void* packed = room.packed(type, kWidth, kWidth, weight);
  const LinearArgs args = {.rows = kRows,
                           .in = kWidth,
                           .out = kWidth,
                           .type = type,
                           .x = x,
                           .weight = weight,
                           .packed = packed,
                           .bias = nullptr,
                           .relu = false,
                           .y_type = type,
                           .y = y,
                           .mask = nullptr};
  cpu::Product whole = cpu::layer_product(kRows, kWidth, kWidth, type, type);
  whole.b_packed = packed != nullptr;
  const cpu::CompiledProduct& one = cpu::compile(whole);
  in_turns(
      state, [&] { backend.linear_forward(args, nullptr); },
      [&] { cpu::check_products(cpu::run(one, x, packed ? packed : weight, nullptr, y), "gain"); },
      100);
}

/// The gradient of a square weight from 4096 rows in tiles of so many outputs and columns.
class Gradient {
 public:
  explicit Gradient(Memory& room)
      : dy_(static_cast<std::uint16_t*>(room.values(Dtype::bf16, kRows * kWidth))),
        x_(static_cast<std::uint16_t*>(room.values(Dtype::bf16, kRows * kWidth))),
        dweight_(room.floats(kWidth * kWidth)) {}

  void in_tiles(int out, int columns) const {
    const cpu::CompiledProduct& product = cpu::compile({.m = out,
                                                        .n = columns,
                                                        .k = kRows,
                                                        .type = Dtype::bf16,
                                                        .c_type = Dtype::f32,
                                                        .a_row = 1,
                                                        .a_col = kWidth,
                                                        .b_row = kWidth,
                                                        .b_col = 1,
                                                        .c_row = kWidth,
                                                        .accumulate = true});
    for (int o = 0; o < kWidth; o += out)
      for (int c = 0; c < kWidth; c += columns)
        cpu::check_products(cpu::run(product, dy_ + o, x_ + c, nullptr, dweight_ + o * kWidth + c),
                            "gain");
  }

 private:
  static constexpr std::int64_t kRows = 4096;
  const std::uint16_t *dy_, *x_;
  float* dweight_;
};

void gradient(benchmark::State& state, const Backend& backend) {
  if (!backend.has_bf16()) return state.SkipWithError("no bf16 on this machine");
  Memory room(backend);
  const Gradient gradient(room);
  in_turns(
      state, [&] { gradient.in_tiles(128, kWidth); }, [&] { gradient.in_tiles(64, 256); });
}

#define RHEO_FOR_EACH_CPU \
  [[gnu::target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), gnu::optimize("O3")]]

RHEO_FOR_EACH_CPU void scales(const float* raw, float* scale, float* log, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const math::CouplingScale s = math::sigmoid2_scale(raw[i]);
    scale[i] = s.value, log[i] = s.log;
  }
}

/// The same with the functions of the C library, one value at a time.
RHEO_FOR_EACH_CPU void scales_by_library(const float* raw, float* scale, float* log,
                                         std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float u = raw[i] + 2.f, e = std::exp(-std::abs(u));
    scale[i] = (u < 0 ? e : 1.f) / (1.f + e);
    log[i] = (u < 0 ? u : 0.f) - std::log1p(e);
  }
}

/// The formulas of kernels/step.h, compiled here as the CPU backend is.
void loop(benchmark::State& state, const Backend& backend) {
  constexpr std::int64_t kCount = 4096;
  Memory room(backend);
  const float* raw = room.floats(kCount);
  float *scale = room.floats(kCount), *log = room.floats(kCount);
  const auto timed = [&](auto f) {
    return [=] {
      f(raw, scale, log, kCount);
      benchmark::ClobberMemory();
    };
  };
  in_turns(state, timed(scales), timed(scales_by_library), 100);
}

constexpr struct {
  const char* name;
  void (*row)(benchmark::State&, const Backend&);
} kRows[] = {{"gain/call/kept_objects", call<&Call::run_with_new_objects>},
             {"gain/call/kept_primitive", call<&Call::run_with_new_primitive>},
             {"gain/few_rows/tiles_for_all_threads", few_rows},
             {"gain/weight_gradient/tiles_of_whole_rows", gradient},
             {"gain/scales/own_functions", loop}};

const bool registered = [] {
  for (const auto& [name, row] : kRows)
    benchmark::RegisterBenchmark(
        name, [row = row](benchmark::State& state) { row(state, cpu_backend()); })
        ->Iterations(200)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
}  // namespace rheo::bench
