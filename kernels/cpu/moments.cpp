#include "kernels/moments.h"

#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {

// Sixteen channels at a time (a cache line of a row), in double and twice over the rows.
void moments_of_channels(const MomentsArgs& a, Stream) {
  constexpr int kLanes = 16;
  const std::int64_t work = 2 * a.rows * a.channels * kPerValue;
  parallel_for((a.channels + kLanes - 1) / kLanes, work, [&](std::int64_t block) {
    const int first = static_cast<int>(block) * kLanes;
    const int lanes = a.channels - first < kLanes ? a.channels - first : kLanes;
    double mean[kLanes] = {}, deviation[kLanes] = {};
    const float* x = a.x + first;
    for (std::int64_t r = 0; r < a.rows; ++r)
      for (int c = 0; c < lanes; ++c) mean[c] += static_cast<double>(x[r * a.stride + c]);
    for (double& sum : mean) sum /= static_cast<double>(a.rows);
    for (std::int64_t r = 0; r < a.rows; ++r)
      for (int c = 0; c < lanes; ++c) {
        const double d = static_cast<double>(x[r * a.stride + c]) - mean[c];
        deviation[c] += d * d;
      }
    for (int c = 0; c < lanes; ++c)
      a.mean[first + c] = mean[c], a.deviation[first + c] = deviation[c];
  });
}

}  // namespace rheo::cpu::RHEO_ISA
