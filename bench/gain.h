#pragma once

// Work with a step that made it faster and without it.

#include <benchmark/benchmark.h>

#include <functional>

namespace rheo::bench {

/// Times both in turns, for a machine's own ups and downs are larger than some gains: each so many
/// calls at once, now one first and now the other. Reports the medians, and as `gain` that of the
/// pairs' ratios.
void in_turns(benchmark::State& state, const std::function<void()>& with,
              const std::function<void()>& without, int calls = 1);

}  // namespace rheo::bench
