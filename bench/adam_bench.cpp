#include "kernels/adam.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

constexpr std::int64_t kSize = 1 << 21;

AdamArgs arguments(Memory& memory, AdamKind kind) {
  return {.control = memory.put(std::vector<AdamControl>{{1e-3, 1, 10, 0}}),
          .log_prob = memory.put(std::vector<double>{-1}),
          .log_prob_count = 1,
          .gradient = memory.floats(kSize),
          .parameters = memory.floats(kSize),
          .first = memory.floats(kSize),
          // Never negative, and large, so that its root is a number and no step is too long.
          .second = memory.put(std::vector<float>(kSize, 1.f)),
          .average = memory.floats(kSize),
          .size = kSize,
          .kind = kind,
          .beta1 = 0.9,
          .beta2 = 0.999,
          .epsilon = 1e-8,
          .clip_norm = 100,
          .average_decay = 0.99,
          .workspace = memory.put(std::vector<double>(kAdamParts))};
}

void norm(benchmark::State& state, const Backend& backend) {
  Memory memory(backend);
  const AdamArgs args = arguments(memory, AdamKind::adam);
  measure_bytes(state, backend, 8 * kSize, [&] { backend.adam_norm(args, nullptr); });
}

/// Gradient, weights, two moments and the average are read, and all but the gradient written.
void update(benchmark::State& state, const Backend& backend, AdamKind kind) {
  Memory memory(backend);
  const AdamArgs args = arguments(memory, kind);
  measure_bytes(state, backend, 36 * kSize, [&] { backend.adam_update(args, nullptr); });
}

const bool registered = [] {
  const std::string size = "size:" + std::to_string(kSize);
  add(On::all, "adam_norm", size, norm);
  for (AdamKind kind : {AdamKind::adam, AdamKind::adamax})
    add(On::all, "adam_update", size + (kind == AdamKind::adam ? "/adam" : "/adamax"),
        [=](auto& state, const Backend& backend) { update(state, backend, kind); });
  return true;
}();

}  // namespace
}  // namespace rheo::bench
