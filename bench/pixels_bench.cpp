#include "kernels/pixels.h"

#include <numeric>

#include "bench/support.h"

namespace rheo::bench {
namespace {

constexpr std::int64_t kCount = 64, kDims = 32 * 32 * 3;
const char* const kShape = "N:64/H:32/W:32/C:3";

void dequantize(benchmark::State& state, const Backend& backend) {
  Memory memory(backend);
  std::vector<std::int64_t> samples(kCount);
  std::iota(samples.begin(), samples.end(), 0);
  const DequantizeArgs args = {.pixels = memory.put(std::vector<std::uint8_t>(kCount * kDims, 100)),
                               .x = memory.floats(kCount * kDims),
                               .samples = memory.put(samples),
                               .count = kCount,
                               .dims = kDims,
                               .n_bits = 8,
                               .centre = false,
                               .seed = 1};
  measure_bytes(state, backend, 5 * kCount * kDims,
                [&] { backend.pixels_dequantize(args, nullptr); });
}

void quantize(benchmark::State& state, const Backend& backend) {
  Memory memory(backend);
  const QuantizeArgs args = {.x = memory.floats(kCount * kDims),
                             .pixels = memory.put(std::vector<std::uint8_t>(kCount * kDims, 0)),
                             .size = kCount * kDims,
                             .n_bits = 8};
  measure_bytes(state, backend, 5 * kCount * kDims,
                [&] { backend.pixels_quantize(args, nullptr); });
}

const bool registered = add(On::all, "pixels_dequantize", kShape, dequantize) &&
                        add(On::all, "pixels_quantize", kShape, quantize);

}  // namespace
}  // namespace rheo::bench
