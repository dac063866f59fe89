#pragma once

// Rows of the benchmarks: operation/backend/shape, each with the bytes that it has to move or the
// operations that it has to do, and its share of what a plain copy or product makes of them in the
// same run.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rheo::bench {

/// A level of a CIFAR-size model in a batch of 64.
struct Level {
  int height, width, channels;

  static constexpr std::int64_t kCount = 64;
  Grid grid() const { return {kCount, height, width}; }
  std::int64_t pixels() const { return grid().pixels(); }
  std::int64_t values() const { return pixels() * channels; }
  std::string name() const;
};

constexpr Level kLevels[] = {{16, 16, 12}, {8, 8, 24}, {4, 4, 48}};
constexpr int kHidden[] = {512, 128};  // the paper's network, and one for a CPU

/// The memory of one row, random: zeros and denormals would be another measurement.
class Memory {
 public:
  explicit Memory(const Backend& backend) : backend_(&backend) {}
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  float* floats(std::int64_t count) { return static_cast<float*>(values(Dtype::f32, count)); }

  /// Of about 0.1 in size.
  void* values(Dtype type, std::int64_t count);

  template <class T>
  T* put(const std::vector<T>& values) {
    return static_cast<T*>(upload(values.data(), values.size() * sizeof(T)));
  }

 private:
  void* upload(const void* from, std::size_t bytes);

  const Backend* backend_;
  std::vector<void*> blocks_;
};

using Row = std::function<void(benchmark::State&, const Backend&)>;

/// Registers `row` for every backend variant that this machine can run; for static initialisers.
bool add(const std::string& op, const std::string& shape, const Row& row);

/// Only for the widest: what the variants do not compile themselves.
bool add_widest(const std::string& op, const std::string& shape, const Row& row);

/// Times f, which reads and writes so many bytes.
void measure_bytes(benchmark::State& state, const Backend& backend, std::int64_t bytes,
                   const std::function<void()>& f);

/// Times f, which multiplies and adds, counted as two, so many times.
void measure_flops(benchmark::State& state, const Backend& backend, Dtype type, std::int64_t flops,
                   const std::function<void()>& f);

}  // namespace rheo::bench
