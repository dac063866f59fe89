#include "bench/gain.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace rheo::bench {
namespace {

double microseconds_of(const std::function<void()>& f, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) f();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  return took.count() / calls;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void in_turns(benchmark::State& state, const std::function<void()>& with,
              const std::function<void()>& without, int calls) {
  std::vector<double> times, times_without, gains;
  bool with_first = true;
  for (const auto* f : {&with, &without}) (*f)();
  for ([[maybe_unused]] auto unused : state) {
    if (with_first) times.push_back(microseconds_of(with, calls));
    times_without.push_back(microseconds_of(without, calls));
    if (!with_first) times.push_back(microseconds_of(with, calls));
    gains.push_back(times_without.back() / times.back());
    with_first = !with_first;
  }
  state.counters["with_us"] = median(times);
  state.counters["without_us"] = median(times_without);
  state.counters["gain"] = median(gains);
}

}  // namespace rheo::bench
