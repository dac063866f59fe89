#pragma once

// What a test says to the emulated device. Not for kernels: nvcc has none of this.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

#include "simt/runtime_api.h"

namespace simt {

/// A kernel broke a rule that a GPU would answer with a hang, a fault or silence. Thrown by the
/// call that made the kernel run, most often one that waits; what else was queued is dropped.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Which thread of a block goes first wherever several could. Strict: one thread runs until it has
/// to wait, so forward and reverse together run any two threads in both orders between barriers.
/// The same order decides between operations of several streams that nothing orders.
struct Order {
  enum class Kind { forward, reverse, random } kind;
  std::uint64_t seed = 0;
};
inline constexpr Order forward{Order::Kind::forward};
inline constexpr Order reverse{Order::Kind::reverse};
constexpr Order random(std::uint64_t seed) {
  return {Order::Kind::random, seed};
}

/// The default is RHEO_SIMT_ORDER of the environment (forward, reverse, random:<seed>), or forward.
void set_order(Order);

/// When queued work runs, and a kernel's asynchronous copies land: as late as a wait allows (the
/// default), or at once.
enum class Policy { late, eager };
void set_policy(Policy);

/// What the device has; allocations are counted against it. 64 GiB by default.
void set_memory(std::size_t bytes);

/// From now on the device answers every call as one does that has fallen off the bus, until it is
/// told to come back, which a real one does not.
void set_lost(bool lost);

/// Queues host code as if it were a kernel: how stand-ins for device libraries do their work.
cudaError_t enqueue(cudaStream_t, std::function<void()>);

/// Whether the calling thread captures a stream, where some libraries can do less.
bool capturing();

}  // namespace simt
