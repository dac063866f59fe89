#include "kernels/log_det.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// The partials of 32 steps on each level, four tiles on the first; this is latency, not bandwidth.
void sum(benchmark::State& state, const Backend& backend) {
  constexpr int kUsed = 32 * (4 + 1 + 1), kConstants = 96;
  Memory memory(backend);
  const LogDetArgs args = {
      .partials = {memory.floats(Level::kCount * kUsed), kUsed},
      .count = Level::kCount,
      .used = kUsed,
      .constants = memory.put(std::vector<double>(kConstants, 0.5)),
      .constant_count = kConstants,
      .log_prob = memory.put(std::vector<double>(static_cast<std::size_t>(Level::kCount)))};
  measure_bytes(state, backend, 4 * Level::kCount * kUsed,
                [&] { backend.log_det_sum(args, nullptr); });
}

const bool registered = add("log_det_sum", "N:64/partials:192", sum);

}  // namespace
}  // namespace rheo::bench
