#pragma once

#include <string>
#include <string_view>

#include "rheo/export.h"

namespace rheo {

struct Backend;

/// Where to compute: a backend, and on the CPU how many threads.
class RHEO_API Device {
 public:
  /// The CPU with `threads` threads; 0: as many as the process may use.
  /// @throws Error invalid_argument for a negative number or one over 256.
  static Device cpu(int threads = 0);

  /// GPU `ordinal`, in the order of CUDA_VISIBLE_DEVICES.
  /// @throws Error unsupported, saying what is missing: the backend's library, a driver, a fitting
  /// GPU; invalid_argument for an ordinal that this machine does not have.
  static Device cuda(int ordinal = 0);

  /// "cpu", "cuda", "cuda:1" or "auto" (CUDA where it works, else the CPU).
  /// @throws Error invalid_argument for another name; unsupported, saying what is missing, where
  /// CUDA was asked for and cannot be had.
  static Device from_name(std::string_view name, int threads = 0);

  /// "cpu" or "cuda:0".
  std::string name() const;

  /// For people and run records: "cpu, 2 threads, avx512"; "cuda:0, NVIDIA H200, sm_90".
  std::string description() const;

  /// What is in use, which with `threads` decides the bits of a result: "avx512"; on a GPU its
  /// name and architecture.
  std::string instruction_set() const;

  int threads() const { return threads_; }  ///< Of the CPU; 1 on a GPU.
  int ordinal() const { return ordinal_; }  ///< Of the GPU; 0 on the CPU.
  const Backend& backend() const { return *backend_; }

 private:
  friend struct DeviceAccess;
  Device(const Backend& backend, int threads, int ordinal)
      : backend_(&backend), threads_(threads), ordinal_(ordinal) {}

  const Backend* backend_;
  int threads_;
  int ordinal_;
};

/// Of the coupling networks' products; the flow state and every log-det are float32 always.
enum class Precision {
  automatic,  ///< bf16 where the device has it, else f32; f32 for models of vectors.
  f32,        ///< For what must be exact: only with it does `decode` undo `encode`.
  bf16,
};

/// What training keeps of a forward pass.
enum class Memory {
  automatic,  ///< The fastest that fits.
  full,       ///< Hidden activations, but those that cost little to make again.
  state,      ///< The flow state of each step; two of three products are recomputed.
  invert,     ///< Nothing that can be had back by inverting.
};

/// How a model computes.
struct Compute {
  Device device = Device::cpu();
  Precision precision = Precision::automatic;
  Memory memory = Memory::automatic;
};

}  // namespace rheo
