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

/// Which backends a row is for.
enum class On {
  all,     // every variant of the CPU, and the GPU where there is one
  widest,  // the CPU's widest variant, for what variants do not compile themselves, and the GPU
  gpu,
};

/// A level of a model. CIFAR's batches are 64 and, for a GPU, more; larger images' are fewer.
struct Level {
  int height, width, channels;
  std::int64_t count;

  On on() const { return count > 64 ? On::gpu : count < 64 ? On::widest : On::all; }
  Grid grid() const { return {count, height, width}; }
  std::int64_t pixels() const { return grid().pixels(); }
  std::int64_t values() const { return pixels() * channels; }
  std::string name() const;
};

constexpr Level kLevels[] = {
    {16, 16, 12, 64},  {8, 8, 24, 64},   {4, 4, 48, 64},                    // 32x32, L = 3
    {16, 16, 12, 512}, {8, 8, 24, 512},  {4, 4, 48, 512},                   //
    {32, 32, 12, 16},  {16, 16, 24, 16}, {8, 8, 48, 16},  {4, 4, 96, 16},   // 64x64, L = 4
    {128, 128, 12, 1}, {64, 64, 24, 1},  {32, 32, 48, 1}, {16, 16, 96, 1},  // 256x256, L = 6
    {8, 8, 192, 1},    {4, 4, 384, 1}};
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

  /// A weight [out, in] as models have it, packed once for many products; null where the backend
  /// reads it fastest as it is.
  const void* packed(Dtype type, int in, int out, const void* weight);

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

/// Registers `row` for those backends of `on` that this machine can run; for static initialisers.
/// Once: of levels that are the same to an operation the first stands for all.
bool add(On on, const std::string& op, const std::string& shape, const Row& row);

/// Times f, which reads and writes so many bytes. A GPU is given several calls at once, so that
/// what is timed is its work and not the way there.
void measure_bytes(benchmark::State& state, const Backend& backend, std::int64_t bytes,
                   const std::function<void()>& f);

/// Times f, which multiplies and adds, counted as two, so many times.
void measure_flops(benchmark::State& state, const Backend& backend, Dtype type, std::int64_t flops,
                   const std::function<void()>& f);

}  // namespace rheo::bench
