// What a call of oneDNN costs besides its product, what the shape of a tile decides, and what a
// loop gains that vectorises: gain/call, gain/tile and gain/loop. Those without "nothing" are the
// product's own; the CPU's products are made on one thread each.

#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>

#include "bench/support.h"
#include "kernels/cpu/products.h"
#include "kernels/step.h"

namespace rheo::bench {
namespace {

using dnnl::memory;

constexpr int kWidth = 512;  // of the paper's network

void times(benchmark::State& state, const std::function<void()>& f) {
  for (int i = 0; i < 20; ++i) f();
  for ([[maybe_unused]] auto unused : state) f();
}

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

template <void (Call::*kRun)()>
void call(benchmark::State& state, const Backend& backend) {
  Memory room(backend);
  const int threads = backend.set_threads(1);
  Call call(room);
  times(state, [&] { (call.*kRun)(); });
  backend.set_threads(threads);
}

/// 64 rows: the last level of one image four times as large, or of four.
LinearArgs few_rows(Memory& room) {
  constexpr std::int64_t kRows = 64;
  return {.rows = kRows,
          .in = kWidth,
          .out = kWidth,
          .type = Dtype::f32,
          .x = room.floats(kRows * kWidth),
          .weight = room.floats(kWidth * kWidth),
          .packed = nullptr,
          .bias = nullptr,
          .relu = false,
          .y_type = Dtype::f32,
          .y = room.floats(kRows * kWidth),
          .mask = nullptr};
}

void in_small_tiles(benchmark::State& state, const Backend& backend) {
  Memory room(backend);
  const LinearArgs args = few_rows(room);
  times(state, [&] { backend.linear_forward(args, nullptr); });
}

void in_one_tile(benchmark::State& state, const Backend& backend) {
  Memory room(backend);
  const LinearArgs args = few_rows(room);
  const cpu::CompiledProduct& product = cpu::compile({.m = args.rows,
                                                      .n = args.out,
                                                      .k = args.in,
                                                      .type = args.type,
                                                      .c_type = args.y_type,
                                                      .a_row = args.in,
                                                      .a_col = 1,
                                                      .b_row = 1,
                                                      .b_col = args.in,
                                                      .c_row = args.out});
  times(state, [&] {
    cpu::check_products(cpu::run(product, args.x, args.weight, nullptr, args.y), "gain/tile");
  });
}

/// The gradient of a square weight from 4096 rows, in tiles of so many outputs and columns.
template <int kOut, int kColumns>
void gradient(benchmark::State& state, const Backend& backend) {
  if (!backend.has_bf16()) return state.SkipWithError("no bf16 on this machine");
  constexpr std::int64_t kRows = 4096;
  Memory room(backend);
  const auto* dy = static_cast<std::uint16_t*>(room.values(Dtype::bf16, kRows * kWidth));
  const auto* x = static_cast<std::uint16_t*>(room.values(Dtype::bf16, kRows * kWidth));
  float* dweight = room.floats(kWidth * kWidth);
  const cpu::CompiledProduct& product = cpu::compile({.m = kOut,
                                                      .n = kColumns,
                                                      .k = kRows,
                                                      .type = Dtype::bf16,
                                                      .c_type = Dtype::f32,
                                                      .a_row = 1,
                                                      .a_col = kWidth,
                                                      .b_row = kWidth,
                                                      .b_col = 1,
                                                      .c_row = kWidth,
                                                      .accumulate = true});
  times(state, [&] {
    for (int o = 0; o < kWidth; o += kOut)
      for (int c = 0; c < kWidth; c += kColumns)
        cpu::check_products(cpu::run(product, dy + o, x + c, nullptr, dweight + o * kWidth + c),
                            "gain/tile");
  });
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

template <void (*kScales)(const float*, float*, float*, std::size_t)>
void loop(benchmark::State& state, const Backend& backend) {
  constexpr std::int64_t kCount = 4096;
  Memory room(backend);
  const float* raw = room.floats(kCount);
  float *scale = room.floats(kCount), *log = room.floats(kCount);
  times(state, [&] {
    kScales(raw, scale, log, kCount);
    benchmark::ClobberMemory();
  });
}

constexpr struct {
  const char* name;
  void (*row)(benchmark::State&, const Backend&);
} kRows[] = {{"call/without:nothing", call<&Call::run>},
             {"call/without:kept_objects", call<&Call::run_with_new_objects>},
             {"call/without:kept_primitive", call<&Call::run_with_new_primitive>},
             {"tile/rows:64/without:nothing", in_small_tiles},
             {"tile/rows:64/without:small_tiles", in_one_tile},
             {"tile/gradient/without:nothing", gradient<128, kWidth>},
             {"tile/gradient/without:whole_rows", gradient<64, 256>},
             {"loop/without:nothing", loop<scales>},
             {"loop/without:vectors", loop<scales_by_library>}};

const bool registered = [] {
  for (const auto& [name, row] : kRows)
    benchmark::RegisterBenchmark(
        (std::string("gain/") + name).c_str(),
        [row = row](benchmark::State& state) { row(state, cpu_backend()); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
}  // namespace rheo::bench
