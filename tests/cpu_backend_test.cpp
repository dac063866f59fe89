#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "kernels/backend.h"

namespace rheo::test {
namespace {

constexpr std::size_t kMebibyte = 1 << 20;

/// The process' resident bytes; 0 where the system does not tell.
std::size_t resident() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::size_t kibibytes = 0; word == "VmRSS:" && status >> kibibytes) return kibibytes * 1024;
  return 0;
}

TEST(CpuBackendTest, MemoryIsAlignedAndWhole) {
  const Backend& cpu = cpu_backend();
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, kMebibyte - 1, kMebibyte, kMebibyte + 1, 3 * kMebibyte}) {
    void* memory = cpu.allocate(bytes);
    ASSERT_NE(memory, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 64, 0u) << bytes;
    std::memset(memory, 1, bytes);
    cpu.release(memory);
  }
  cpu.release(nullptr);
}

TEST(CpuBackendTest, AnImpossibleSizeIsNoMemory) {
  EXPECT_EQ(cpu_backend().allocate(std::numeric_limits<std::size_t>::max() / 4), nullptr);
}

TEST(CpuBackendTest, LargeMemoryGoesBackToTheSystem) {
  constexpr std::size_t kBytes = 64 * kMebibyte;
  if (resident() == 0) GTEST_SKIP() << "the system does not tell what is resident";
  void* memory = cpu_backend().allocate(kBytes);
  ASSERT_NE(memory, nullptr);
  std::memset(memory, 1, kBytes);
  const std::size_t held = resident();
  cpu_backend().release(memory);
  EXPECT_LT(resident() + kBytes / 2, held);
}

TEST(CpuBackendTest, ThreadsAllocateAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i) {
        auto* memory = static_cast<unsigned char*>(cpu_backend().allocate(kMebibyte));
        std::memset(memory, t, kMebibyte);
        EXPECT_EQ(memory[kMebibyte / 2], t);
        cpu_backend().release(memory);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rheo::test
