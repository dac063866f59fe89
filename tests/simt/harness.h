#pragma once

// Seeded bugs and their correct twins: what has to catch a bug, and who has to stay silent.

#include <cuda_runtime.h>
#include <gtest/gtest.h>
#include <simt/control.h>

#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace simt {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kUnderAsan = true;
#else
constexpr bool kUnderAsan = false;
#endif
#ifdef __SANITIZE_THREAD__
constexpr bool kUnderTsan = true;
#else
constexpr bool kUnderTsan = false;
#endif

inline void must(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorName(status));
}

/// Device memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    must(cudaMalloc(&data_, count * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    must(cudaMemcpyAsync(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    must(cudaMemcpyAsync(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

template <class... Parameters, class... Arguments>
cudaError_t launch_in(cudaStream_t stream, std::size_t dynamic_bytes, void (*kernel)(Parameters...),
                      dim3 grid, dim3 block, Arguments&&... arguments) {
  const cudaLaunchConfig_t config{grid, block, dynamic_bytes, stream, nullptr, 0};
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

/// Launches and waits.
template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments&&... arguments) {
  must(launch_in(nullptr, 0, kernel, grid, block, std::forward<Arguments>(arguments)...));
  must(cudaStreamSynchronize(nullptr));
}

using Values = std::vector<float>;
using Program = std::function<Values()>;

inline constexpr Order kOrders[] = {forward, reverse, random(1), random(2), random(3)};

inline void expect_right(const Program& program, const Values& want) {
  for (const Order order : kOrders) {
    set_order(order);
    EXPECT_EQ(program(), want) << "order " << std::distance(kOrders, &order);
  }
}

/// That some order shows a wrong value.
inline void expect_wrong(const Program& program, const Values& want) {
  bool wrong = false;
  for (const Order order : kOrders) {
    set_order(order);
    wrong |= program() != want;  // NaN differs from all
  }
  EXPECT_TRUE(wrong) << "every order gave the right values";
}

/// That every order ends in simt::error, and that the device works afterwards.
inline void expect_error(const Program& program, const std::string& text) {
  for (const Order order : kOrders) {
    set_order(order);
    try {
      program();
      ADD_FAILURE() << "no error; wanted: " << text;
    } catch (const error& e) {
      EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
    }
  }
}

/// That AddressSanitizer or UBSan ends the program with `report`, where it is built with them.
inline void expect_report(const Program& program, const std::string& report) {
  if (!kUnderAsan) return;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  set_order(forward);
  EXPECT_DEATH(program(), report);
}

/// That ThreadSanitizer reports a race in `kernel` in every order, where it is built with it.
inline void expect_race(const Program& program, const std::string& kernel) {
  if (!kUnderTsan) return;
  constexpr int kExitCode = 66;  // ThreadSanitizer's
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const Order order : {forward, reverse, random(1)}) {
    set_order(order);
    EXPECT_EXIT((program(), std::exit(0)), testing::ExitedWithCode(kExitCode),
                "data race.*" + kernel);
  }
}

/// A race that also shows as a wrong value in some order.
inline void expect_wrong_or_race(const Program& program, const Values& want,
                                 const std::string& kernel) {
  if (kUnderTsan)
    expect_race(program, kernel);
  else
    expect_wrong(program, want);
}

}  // namespace simt
