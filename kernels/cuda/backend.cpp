#include "kernels/cuda/backend.h"

#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/context.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/runtime.h"
#include "rheo/error.h"

#ifndef RHEO_CUDA_NAME
#define RHEO_CUDA_NAME "cuda"
#endif

namespace rheo::cuda {
namespace {

constexpr int kLeastMajor = 8;  // what the kernels are compiled for

[[noreturn]] void missing(const std::string& what) {
  throw Error(Errc::unsupported, "cuda: " + what + "; use --device cpu");
}

bool fits(int device) {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "ask for a GPU's capability");
  return major >= kLeastMajor;
}

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    if (driver == 0) missing("no NVIDIA driver is installed");
    missing("the NVIDIA driver is too old: it knows CUDA " + std::to_string(driver / 1000) + "." +
            std::to_string(driver % 1000 / 10) + ", this build needs " +
            std::to_string(CUDART_VERSION / 1000) + "." +
            std::to_string(CUDART_VERSION % 1000 / 10));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    missing("the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES hides those it does not name)");
  check(status, "count the GPUs");
  return count;
}

std::string describe(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "ask for a GPU's properties");
  return std::string(properties.name) + ", sm_" + std::to_string(properties.major) +
         std::to_string(properties.minor);
}

void require_fitting(int device) {
  const int count = device_count();
  if (device >= count)
    throw Error(Errc::invalid_argument, "cuda: there is no device " + std::to_string(device) +
                                            "; this machine has " + std::to_string(count));
  if (!fits(device))
    missing(describe(device) + " is older than the oldest that rheo runs on (sm_80, Ampere)");
}

int use(int device) {
  int before = 0;
  check(cudaGetDevice(&before), "ask for the chosen GPU");
  // Only where it changes: a device that is set gets a context, which takes memory.
  if (device != before) check(cudaSetDevice(device), "choose a GPU");
  return before;
}

void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // no later call shall report it again
    return nullptr;
  }
  check(status, "take memory");
  return memory;
}

void release(void* memory) {
  static_cast<void>(cudaFree(memory));
}

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "ask for free memory");
  return free;
}

void* allocate_host(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocHost(&memory, bytes ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return nullptr;
  }
  check(status, "take pinned memory of the host");
  return memory;
}

void release_host(void* memory) {
  static_cast<void>(cudaFreeHost(memory));
}

void synchronize(Stream stream) {
  check(cudaStreamSynchronize(stream), "wait for a stream");
}

void copy_later(void* to, const void* from, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copy");
}

bool is_pageable(const void* memory) {
  cudaPointerAttributes attributes;
  check(cudaPointerGetAttributes(&attributes, memory), "ask where memory lies");
  return attributes.type == cudaMemoryTypeUnregistered;
}

/// That an asynchronous copy has read pageable memory when it returns is no promise of CUDA's.
void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  copy_later(to, from, bytes, stream);
  if (bytes && (is_pageable(from) || is_pageable(to))) synchronize(stream);
}

void clear(void* memory, std::size_t bytes, Stream stream) {
  if (bytes) check(cudaMemsetAsync(memory, 0, bytes, stream), "clear memory");
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(status == cudaErrorMemoryAllocation ? Errc::out_of_memory : Errc::device,
              std::string("cuda: ") + what + ": " + cudaGetErrorString(status) + " (" +
                  cudaGetErrorName(status) + ")");
}

/// Never less than was asked for before: another thread may be about to launch with that.
void allow_dynamic_shared(const void* kernel, std::size_t bytes) {
  static std::mutex mutex;
  static auto* const allowed = new std::map<std::pair<int, const void*>, std::size_t>;
  int device = 0;
  check(cudaGetDevice(&device), "ask for the chosen GPU");
  const std::lock_guard lock(mutex);
  std::size_t& most = (*allowed)[{device, kernel}];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "raise a kernel's shared memory");
  most = bytes;
}

constinit const Backend backend = {
    .name = RHEO_CUDA_NAME,
    .instruction_set = RHEO_CUDA_NAME,
    .relu_masks = true,
    .network_bytes = 1 << 26,
    .overhead_bytes = 3 * (kWorkspace + kScratch * sizeof(float)),  // of training's streams
    .device_count = device_count,
    .describe = describe,
    .require_fitting = require_fitting,
    .use = use,
    .set_threads = [](int threads) { return threads; },
    .has_bf16 = [] { return true; },
    .packed_bytes = [](const LinearPack&) -> std::size_t { return 0; },
    .pack = [](const LinearPack*, int, Stream) {},
    .allocate = allocate,
    .release = release,
    .free_bytes = free_bytes,
    .allocate_host = allocate_host,
    .release_host = release_host,
    .open = open,
    .close = close,
    .synchronize = synchronize,
    .wait = wait,
    .copy = copy,
    .copy_later = copy_later,
    .clear = clear,
    .record = record,
    .replay = replay,
    .forget = forget,
#define RHEO_OP(op, Args) .op = op,
#include "kernels/ops.def"
#undef RHEO_OP
};

}  // namespace rheo::cuda
