// What each step that made the CPU backend fast gains, for work of whole models in bf16, or where
// the machine has none in float32. Rows are gain/work/model/precision/N:batch/step.

#include <sys/mman.h>

#include <limits>

#include "bench/gain.h"
#include "bench/model_work.h"
#include "kernels/backend.h"
#include "tests/support/device_access.h"

namespace rheo::bench {
namespace {

/// A weight is read as it is, so that oneDNN brings it into its own form at each call.
void without_packing(Backend& backend) {
  backend.packed_bytes = [](const LinearPack&) { return std::size_t{0}; };
}

/// A network makes its hidden activations of all pixels before it goes on to the next product.
void without_parts(Backend& backend) {
  backend.network_bytes = std::numeric_limits<std::int64_t>::max();
}

void without_large_pages(Backend& backend) {
  backend.allocate = [](std::size_t bytes) {
    void* memory = cpu_backend().allocate(bytes);
    constexpr std::size_t kMapped = 1 << 20;  // less comes from malloc, and never asked for them
    if (memory && bytes >= kMapped) madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
  };
}

/// Coupling, mix and columns as a pass over the pixels each.
template <void (*Backend::*kStep)(const StepArgs&, Stream)>
void three_passes(const StepArgs& all, Stream stream) {
  const auto step = cpu_backend().*kStep;
  if (all.taps.data == nullptr || all.mix == nullptr || all.to == nullptr)
    return step(all, stream);  // at either end of a level
  StepArgs coupling = all, mix = all, columns = all;
  coupling.mix = nullptr, coupling.columns.data = nullptr;
  if (all.coupled) coupling.to = all.coupled, coupling.coupled = nullptr;
  mix.from = coupling.to;
  mix.taps.data = nullptr, mix.coupled = nullptr, mix.columns.data = nullptr;
  columns.from = all.to, columns.to = nullptr;
  columns.taps.data = nullptr, columns.coupled = nullptr, columns.mix = nullptr;
  step(coupling, stream), step(mix, stream), step(columns, stream);
}

void without_fusion(Backend& backend) {
  backend.step_forward = three_passes<&Backend::step_forward>;
  backend.step_inverse = three_passes<&Backend::step_inverse>;
}

constexpr struct {
  const char* name;
  void (*undo)(Backend&);
} kSteps[] = {{"packing", without_packing},
              {"parts", without_parts},
              {"large_pages", without_large_pages},
              {"fusion", without_fusion}};

const struct {
  const char* name;
  Work work;
  Case what;
  int pairs;
} kWorks[] = {{"sample", sample, {"paper", kPaper, {}, 1}, 100},
              {"sample", sample, {"paper", kPaper, {}, 16}, 20},
              {"score", score, {"paper", kPaper, {}, 16}, 20},
              {"train", train, {"paper", kPaper, {}, 16}, 8},
              {"score", score, {"small", kSmall, {}, 64}, 50},
              {"train", train, {"small", kSmall, {}, 32}, 50}};

const bool registered = [] {
  static Backend backends[std::size(kSteps)];
  const bool bf16 = cpu_backend().has_bf16();
  for (std::size_t i = 0; i < std::size(kSteps); ++i) {
    backends[i] = cpu_backend();
    kSteps[i].undo(backends[i]);
    for (const auto& [name, work, what, pairs] : kWorks) {
      Case with = what;
      with.compute.precision = bf16 ? Precision::bf16 : Precision::f32;
      Case without = with;
      without.compute.device = DeviceAccess::of(backends[i], Device::cpu().threads());
      add(std::string("gain/") + name + "/" + what.model + (bf16 ? "/bf16" : "/f32") +
              "/N:" + std::to_string(what.batch) + "/" + kSteps[i].name,
          pairs, [with, without, work = work](benchmark::State& state) {
            in_turns(state, work(with), work(without));
          });
    }
  }
  return true;
}();

}  // namespace
}  // namespace rheo::bench
