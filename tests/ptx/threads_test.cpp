// What machine.h and memory.h do in threads of the emulator: shuffles, votes, and accesses that a
// device faults at or leaves undefined.

#include <gtest/gtest.h>

#include "tests/ptx/memory.h"
#include "tests/simt/harness.h"

namespace ptx {
namespace {

/// Of a kernel that writes for each lane of a warp what it got wrong.
void expect_no_lane_wrong(void (*kernel)(float*)) {
  simt::expect_right(
      [kernel] {
        const simt::DeviceArray<float> wrong(32);
        simt::run(kernel, 1, 32, wrong.data());
        return wrong.values();
      },
      simt::Values(32, 0));
}

/// That a thread which does this ends the grid with an error that holds `text`.
void expect_refused(void (*kernel)(), const std::string& text, std::size_t dynamic_bytes = 0) {
  simt::expect_error(
      [kernel, dynamic_bytes]() -> simt::Values {
        simt::must(simt::launch_in(nullptr, dynamic_bytes, kernel, 1, 1));
        simt::must(cudaStreamSynchronize(nullptr));
        return {};
      },
      text);
}

/// 1 if a shuffle gives another lane's value than the source's, or does not say whether it is in
/// bounds.
float wrong(Shuffle kind, u32 lane, u32 clamp, int source, bool within) {
  u32 got = 0;
  bool held = !within;
  shfl(kind, got, held, 100 + simt::lane(), lane, clamp, 0xffffffffu);
  return held != within || got != 100 + static_cast<u32>(source);
}

/// Of segments of 32, 16, 8, ... lanes; a source outside is the lane itself. nvcc's bounds are
/// those of the whole segment.
void segments_kernel(float* y) {
  const int lane = static_cast<int>(simt::lane());
  float sum = 0;
  for (int width = 32; width > 1; width /= 2)
    for (int by = 0; by < 32; ++by) {
      const int first = lane / width * width, end = first + width;
      const u32 segment = (32u - width) << 8;
      const auto try_one = [&](Shuffle kind, u32 clamp, int source, bool within) {
        sum += wrong(kind, by, segment | clamp, within ? source : lane, within);
      };
      try_one(Shuffle::idx, 31, first + by % width, true);
      try_one(Shuffle::up, 0, lane - by, lane - by >= first);
      try_one(Shuffle::down, 31, lane + by, lane + by < end);
      try_one(Shuffle::bfly, 31, lane ^ by, (lane ^ by) < end);
    }
  y[lane] = sum;
}

/// Bounds within the segment, which nvcc's own functions never set.
void clamps_kernel(float* y) {
  const int lane = static_cast<int>(simt::lane());
  float sum = wrong(Shuffle::idx, 8, 7, lane, false) + wrong(Shuffle::idx, 7, 7, 7, true);
  // Of the lane five bits count.
  sum += wrong(Shuffle::idx, 40, 31, 8, true);
  sum += wrong(Shuffle::up, 33, 0, lane > 0 ? lane - 1 : lane, lane > 0);
  sum += wrong(Shuffle::down, 33, 31, lane < 31 ? lane + 1 : lane, lane < 31);
  sum += wrong(Shuffle::bfly, 33, 31, lane ^ 1, true);
  sum += wrong(Shuffle::up, 1, 5, lane > 5 ? lane - 1 : lane, lane > 5);
  sum += wrong(Shuffle::down, 1, 20, lane < 20 ? lane + 1 : lane, lane < 20);
  const int other = lane ^ 16;
  sum += wrong(Shuffle::bfly, 16, 20, other <= 20 ? other : lane, other <= 20);
  y[lane] = sum;
}

void votes_kernel(float* y) {
  const u32 lane = simt::lane(), half = lane < 16 ? 0xffffu : 0xffff0000u;
  const bool right = ballot(lane % 3 == 0, 0xffffffffu) == 0x49249249u &&
                     ballot(lane % 3 == 0, half) == (0x49249249u & half);
  y[lane] = right ? 0 : 1;
}

TEST(Threads, Shuffles) {
  expect_no_lane_wrong(segments_kernel);
  expect_no_lane_wrong(clamps_kernel);
}

TEST(Threads, Votes) {
  expect_no_lane_wrong(votes_kernel);
}

TEST(Threads, DivideByZero) {
  expect_refused([] { div_(threadIdx.x, threadIdx.x); }, "leaves undefined");
  expect_refused([] { rem_(threadIdx.x, threadIdx.x); }, "leaves undefined");
}

/// An access of `kBytes` of a shared variable of 40 bytes, or of a dynamic one after it.
template <std::size_t kBytes, int kOffset, u32 kVariable = 0, std::size_t kAlignment = 16>
void access_kernel() {
  const Shared shared{{variable<0>("first", 40, kAlignment), dynamic_variable("second", 16)}};
  shared.at(shared_address<kVariable> + kOffset, kBytes);
  shared.generic(generic_of(shared_address<kVariable>) + kOffset, kBytes);
}

TEST(Threads, SharedVariablesHaveEnds) {
  expect_refused(access_kernel<8, 40>, "8 bytes at 40 of first (40 bytes, aligned to 16), beyond");
  expect_refused(access_kernel<16, 32>, "16 bytes at 32 of first");
  expect_refused(access_kernel<4, -4>, "where no variable is, in");
  expect_refused(access_kernel<4, -4, 1>, "of first (40 bytes, aligned to 16), beyond its end, in");
  expect_refused(access_kernel<4, 0, 2>, "where no variable is, in void ptx::");
  expect_refused(access_kernel<4, 64, 1>, "4 bytes at 64 of second (64 bytes, aligned to 16)", 64);
  simt::run(access_kernel<8, 32>, 1, 1);
  simt::must(simt::launch_in(nullptr, 64, access_kernel<16, 48, 1>, 1, 1));
  simt::must(cudaStreamSynchronize(nullptr));
}

TEST(Threads, AlignedAsDeclared) {
  expect_refused(access_kernel<8, 4>,
                 "8 bytes at 4 of first (40 bytes, aligned to 16), not aligned");
  expect_refused(access_kernel<16, 0, 0, 8>,
                 "(40 bytes, aligned to 8), not aligned, in void ptx::");
  simt::run(access_kernel<8, 8, 0, 8>, 1, 1);
}

TEST(Threads, GenericAddressesOfShared) {
  expect_refused(
      [] {
        const Shared shared{{variable<0>("only", 4, 4)}};
        shared.generic(generic_of(shared_address<0>) + 4, 4);
      },
      "4 bytes at 4 of only (4 bytes, aligned to 4), beyond its end");
  expect_refused(
      [] {
        const u64 here = 0;
        Shared{}.generic(address_of(&here) + 2, 4);
      },
      "which are not aligned");
}

}  // namespace
}  // namespace ptx
