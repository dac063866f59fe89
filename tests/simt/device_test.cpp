// Limits, memory and faults of the emulated device.

#include <cstdio>
#include <cstdlib>

#include "harness.h"

namespace simt {
namespace {

__global__ void empty_kernel() {}

cudaError_t launch_empty(dim3 grid, dim3 block, std::size_t dynamic_bytes = 0) {
  return launch_in(nullptr, dynamic_bytes, empty_kernel, grid, block);
}

TEST(Device, SaysWhatItIs) {
  int count = 0, sms = 0;
  cudaDeviceProp properties;
  must(cudaGetDeviceCount(&count));
  must(cudaGetDeviceProperties(&properties, 0));
  must(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  EXPECT_EQ(count, 1);
  EXPECT_STREQ(properties.name, "emulated");
  EXPECT_EQ(properties.major * 10 + properties.minor, 90);
  EXPECT_EQ(properties.multiProcessorCount, sms);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
}

TEST(Launch, RefusesShapesThatNoDeviceHas) {
  for (const auto& [grid, block] : {std::pair<dim3, dim3>{0, 32},
                                    {1, 0},
                                    {1, 1025},
                                    {1, {32, 33}},
                                    {1, {1, 1, 65}},
                                    {{1, 65536}, 1},
                                    {{1, 1, 65536}, 1}})
    EXPECT_EQ(launch_empty(grid, block), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(launch_empty({1, 65535}, 1), cudaSuccess);
  EXPECT_EQ(launch_empty(1, {16, 1, 64}), cudaSuccess);
  must(cudaDeviceSynchronize());
}

__global__ void much_shared_kernel(float* y) {
  RHEO_SHARED(float, values, [12 * 1024]);  // all of the 48 KiB
  RHEO_DYNAMIC_SHARED(float, more);
  values[0] = 1;
  more[0] = 2;
  y[0] = values[0] + more[0];
}

TEST(Launch, CountsSharedMemory) {
  EXPECT_EQ(launch_empty(1, 1, 48 * 1024), cudaSuccess);
  EXPECT_EQ(launch_empty(1, 1, 48 * 1024 + 1), cudaErrorInvalidConfiguration);

  const DeviceArray<float> y(1);
  must(launch_in(nullptr, 4, much_shared_kernel, 1, 1, y.data()));
  EXPECT_THROW(cudaDeviceSynchronize(), error);
  const auto raise_to = [](int bytes) {
    return cudaFuncSetAttribute(much_shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                bytes);
  };
  must(raise_to(99 * 1024));
  must(launch_in(nullptr, 4, much_shared_kernel, 1, 1, y.data()));
  EXPECT_EQ(y.values(), Values{3});
  EXPECT_EQ(raise_to(99 * 1024 + 1), cudaErrorInvalidValue);
  must(raise_to(3));  // what was asked for last counts
  EXPECT_EQ(launch_in(nullptr, 4, much_shared_kernel, 1, 1, y.data()),
            cudaErrorInvalidConfiguration);
}

TEST(Memory, RunsOut) {
  set_memory(1000);
  void *first = nullptr, *second = nullptr;
  std::size_t free = 0, total = 0;
  must(cudaMalloc(&first, 600));
  EXPECT_EQ(cudaMalloc(&second, 401), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  must(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(free, 400u);
  EXPECT_EQ(total, 1000u);
  must(cudaMalloc(&second, 400));
  must(cudaFree(first));
  must(cudaFree(second));
  set_memory(std::size_t{64} << 30);
}

TEST(Memory, IsAlignedAndNotZero) {
  const DeviceArray<float> x(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 256, 0u);
  for (const float value : x.values()) EXPECT_NE(value, value) << "must be NaN";
}

TEST(Memory, RefusesWhatIsNotThere) {
  const DeviceArray<float> x(4);
  float host[8] = {};
  EXPECT_EQ(cudaFree(host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(x.data()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(host, 0, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(x.data() + 1, 0, 16), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(x.data(), host, 20, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(host, x.data(), 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(x.data(), x.data(), 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(host, x.data(), 16, cudaMemcpyDefault), cudaSuccess);
}

#ifdef __SANITIZE_ADDRESS__
__global__ void one_kernel(float* y) {
  y[0] = 1;
}

TEST(Memory, IsNotForTheHost) {
  for (const bool used : {false, true})
    expect_report(
        [used] {
          const DeviceArray<float> x(1);
          if (used) run(one_kernel, 1, 1, x.data());
          return Values{*x.data()};
        },
        "use-after-poison");
}

TEST(Memory, FreedBeforeItsKernel) {
  expect_report(
      [] {
        float* y = nullptr;
        must(cudaMalloc(&y, 4));
        must(cudaFree(y));
        run(one_kernel, 1, 1, y);
        return Values{};
      },
      "heap-use-after-free.*one_kernel");
}
#endif

__global__ void throwing_kernel(int thread) {
  if (threadIdx.x == thread) throw std::runtime_error("thrown");
  __syncthreads();
}
__global__ void trapping_kernel() {
  if (threadIdx.x == 3) __trap();
}
__global__ void deep_kernel(float* y) {
  volatile float frame[100 * 1024];
  frame[0] = 1;
  y[0] = frame[0];
}

TEST(Fault, NamesThePlaceAndTheOrder) {
  set_order(random(7));
  try {
    run(trapping_kernel, {2, 3}, 32);
    FAIL() << "trapped in silence";
  } catch (const error& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("device_test.cpp:"), std::string::npos) << what;
    EXPECT_NE(what.find("trapping_kernel"), std::string::npos) << what;
    EXPECT_NE(what.find("order random:7"), std::string::npos) << what;
  }
}

TEST(Fault, LeavesTheDeviceUsable) {
  for (const Order order : kOrders) {
    set_order(order);
    for (int thread = 0; thread < 32; ++thread) {
      EXPECT_THROW(run(throwing_kernel, 2, 64, thread), error);
      run(throwing_kernel, 2, 64, -1);
    }
  }
}

TEST(Fault, FrameLargerThanTheStack) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const DeviceArray<float> y(1);
  EXPECT_DEATH(run(deep_kernel, 1, 1, y.data()), kUnderAsan ? "stack-overflow" : "");
}

__global__ void last_kernel(int* y) {
  atomicExch(y, static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x));
}
int last_of_six_thousand() {
  const DeviceArray<int> y(1);
  run(last_kernel, 60, 100, y.data());
  return y.values()[0];
}

TEST(Order, DecidesWhoIsLast) {
  set_order(forward);
  EXPECT_EQ(last_of_six_thousand(), 5999);
  set_order(reverse);
  EXPECT_EQ(last_of_six_thousand(), 0);
  set_order(random(1));
  const int of_one[] = {last_of_six_thousand(), last_of_six_thousand()};
  set_order(random(2));
  EXPECT_NE(last_of_six_thousand(), of_one[0]);
  set_order(random(1));
  EXPECT_EQ(last_of_six_thousand(), of_one[0]);
  EXPECT_EQ(last_of_six_thousand(), of_one[1]);
}

TEST(Order, ComesFromTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto fault_under = [](const char* words) {
    setenv("RHEO_SIMT_ORDER", words, 1);
    try {
      run(trapping_kernel, 1, 32);
    } catch (const error& e) {
      std::fputs(e.what(), stderr);
    }
    std::exit(0);
  };
  EXPECT_EXIT(fault_under("random:12"), testing::ExitedWithCode(0), "order random:12");
  EXPECT_EXIT(fault_under("reverse"), testing::ExitedWithCode(0), "order reverse");
  EXPECT_EXIT(fault_under("random"), testing::ExitedWithCode(0),
              "must be forward, reverse or random:<seed>; got 'random'");
}

}  // namespace
}  // namespace simt
