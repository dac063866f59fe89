#include "kernels/log_det.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// The partials of 32 steps on each level, four tiles on the first; this is latency, not bandwidth.
void sum(benchmark::State& state, const Backend& backend) {
  constexpr int kUsed = 32 * (4 + 1 + 1), kConstants = 96;
  constexpr std::int64_t kImages = 64;
  Memory memory(backend);
  const LogDetArgs args = {
      .partials = {memory.floats(kImages * kUsed), kUsed},
      .count = kImages,
      .used = kUsed,
      .constants = memory.put(std::vector<double>(kConstants, 0.5)),
      .constant_count = kConstants,
      .log_prob = memory.put(std::vector<double>(static_cast<std::size_t>(kImages)))};
  measure_bytes(state, backend, 4 * kImages * kUsed, [&] { backend.log_det_sum(args, nullptr); });
}

const bool registered = add(On::all, "log_det_sum", "N:64/partials:192", sum);

}  // namespace
}  // namespace rheo::bench
