// The device itself: its properties, its memory, copies, and the checks before a launch.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "api.h"
#include "block.h"
#include "memory.h"
#include "sanitizers.h"
#include "simt/control.h"
#include "simt/launch.h"
#include "streams.h"

namespace simt {
namespace {

// Few, so that grids which are made to fill the device stay small.
constexpr int kMultiprocessors = 4;

struct Allocation {
  std::size_t bytes;
  Place place;
};

struct Device {
  std::mutex mutex;
  std::size_t memory = std::size_t{64} << 30;
  std::size_t used = 0;
  bool lost = false;
  std::map<const char*, Allocation> allocations;
  std::map<const void*, std::size_t> dynamic_limits;  // of kernels that asked for more
};

Device& device() {
  static auto* const only = new Device;  // tests' static objects may outlive any of ours
  return *only;
}

thread_local bool inside_device = false;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t allocate(void** memory, std::size_t bytes, Place place) {
  if (!memory) return cudaErrorInvalidValue;
  *memory = nullptr;
  if (const cudaError_t error = refuse_in_any_capture()) return error;
  if (bytes == 0) return cudaSuccess;
  Device& d = device();
  if (place == Place::device && (d.used > d.memory || bytes > d.memory - d.used))
    return cudaErrorMemoryAllocation;
  if (posix_memalign(memory, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xff, bytes);
  d.allocations[static_cast<const char*>(*memory)] = {bytes, place};
  if (place == Place::device) {
    d.used += bytes;
    asan_forbid(*memory, bytes);
  }
  return cudaSuccess;
}

cudaError_t release(void* memory, Place place) {
  if (const cudaError_t error = refuse_in_any_capture()) return error;
  if (!memory) return cudaSuccess;
  Device& d = device();
  const auto found = d.allocations.find(static_cast<const char*>(memory));
  if (found == d.allocations.end() || found->second.place != place) return cudaErrorInvalidValue;
  complete_all();
  if (place == Place::device) {
    d.used -= found->second.bytes;
    asan_allow(memory, found->second.bytes);
  }
  d.allocations.erase(found);
  std::free(memory);
  return cudaSuccess;
}

bool allowed(cudaMemcpyKind kind, Place to, Place from) {
  const bool to_device = to == Place::device, from_device = from == Place::device;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                 CUstream_st& stream, cudaStream_t handle) {
  const Place to_place = place_of(to, bytes), from_place = place_of(from, bytes);
  if (to_place == Place::outside || from_place == Place::outside) return cudaErrorInvalidValue;
  if (!allowed(kind, to_place, from_place)) return cudaErrorInvalidValue;
  if (to_place == Place::pageable || from_place == Place::pageable)
    if (const cudaError_t error = refuse_in_capture(stream)) return error;

  if (from_place == Place::pageable && to_place == Place::device) {
    std::shared_ptr<char[]> staged(new char[bytes]);
    std::memcpy(staged.get(), from, bytes);
    return submit(handle, [=] { std::memcpy(to, staged.get(), bytes); });
  }
  const cudaError_t error = submit(handle, [=] { std::memmove(to, from, bytes); });
  const bool waits =
      to_place == Place::pageable || (to_place == Place::pinned && from_place == Place::pageable);
  if (error == cudaSuccess && waits) complete(stream.last);
  return error;
}

bool fits(const cudaLaunchConfig_t& config, std::size_t dynamic_limit) {
  constexpr unsigned kMaxBlockZ = 64, kMaxGridYz = 65535, kMaxGridX = 0x7fffffff;
  const dim3 b = config.blockDim, g = config.gridDim;
  const bool block_fits = b.x > 0 && b.y > 0 && b.z > 0 && b.x <= kMaxThreads &&
                          b.y <= kMaxThreads && b.z <= kMaxBlockZ &&
                          std::uint64_t{b.x} * b.y * b.z <= kMaxThreads;
  const bool grid_fits =
      g.x > 0 && g.y > 0 && g.z > 0 && g.x <= kMaxGridX && g.y <= kMaxGridYz && g.z <= kMaxGridYz;
  return block_fits && grid_fits && config.dynamicSmemBytes <= dynamic_limit;
}

}  // namespace

ApiCall::ApiCall() {
  if (inside_device) throw error("simt: queued work called the runtime API, which CUDA forbids");
  device().mutex.lock();
}
ApiCall::~ApiCall() {
  device().mutex.unlock();
}

InsideDevice::InsideDevice() {
  inside_device = true;
}
InsideDevice::~InsideDevice() {
  inside_device = false;
}

cudaError_t remembered(cudaError_t error) {
  if (device().lost) error = cudaErrorLaunchFailure;
  if (error != cudaSuccess) last_error = error;
  return error;
}

Place place_of(const void* memory, std::size_t bytes) {
  const auto& all = device().allocations;
  const char* const begin = static_cast<const char*>(memory);
  auto found = all.upper_bound(begin);
  if (found == all.begin()) return Place::pageable;
  --found;
  const std::size_t offset = begin - found->first;
  if (offset >= found->second.bytes) return Place::pageable;
  return bytes <= found->second.bytes - offset ? found->second.place : Place::outside;
}

DeviceMemoryOpen::DeviceMemoryOpen() {
  for (const auto& [memory, a] : device().allocations)
    if (a.place == Place::device) asan_allow(memory, a.bytes);
}
DeviceMemoryOpen::~DeviceMemoryOpen() {
  for (const auto& [memory, a] : device().allocations)
    if (a.place == Place::device) asan_forbid(memory, a.bytes);
}

void set_memory(std::size_t bytes) {
  const ApiCall call;
  device().memory = bytes;
}

void set_lost(bool lost) {
  const ApiCall call;
  device().lost = lost;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread) {
  const ApiCall call;
  if (config.numAttrs != 0) return remembered(cudaErrorNotSupported);
  const auto found = device().dynamic_limits.find(kernel);
  const bool raised = found != device().dynamic_limits.end();
  if (!fits(config, raised ? found->second : kStaticShared))
    return remembered(cudaErrorInvalidConfiguration);
  const GridShape shape{config.gridDim, config.blockDim, config.dynamicSmemBytes,
                        raised ? kMaxShared : kStaticShared};
  return remembered(
      submit(config.stream, [shape, thread = std::move(thread)] { run_grid(shape, thread); }));
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const ApiCall call;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > kMaxShared)
    return remembered(cudaErrorInvalidValue);
  device().dynamic_limits[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

}  // namespace simt

using namespace simt;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const ApiCall call;
  return remembered(allocate(memory, bytes, Place::device));
}
cudaError_t cudaFree(void* memory) {
  const ApiCall call;
  return remembered(release(memory, Place::device));
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  const ApiCall call;
  return remembered(allocate(memory, bytes, Place::pinned));
}
cudaError_t cudaFreeHost(void* memory) {
  const ApiCall call;
  return remembered(release(memory, Place::pinned));
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const ApiCall call;
  *total = device().memory;
  *free = device().memory - std::min(device().used, device().memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return remembered(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  return remembered(copy(to, from, bytes, kind, *stream, handle));
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const ApiCall call;
  const Place place = place_of(memory, 1);
  attributes->type = place == Place::device   ? cudaMemoryTypeDevice
                     : place == Place::pinned ? cudaMemoryTypeHost
                                              : cudaMemoryTypeUnregistered;
  return remembered(cudaSuccess);
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t handle) {
  const ApiCall call;
  if (bytes == 0) return cudaSuccess;
  const Place place = place_of(memory, bytes);
  if (place != Place::device && place != Place::pinned) return remembered(cudaErrorInvalidValue);
  return remembered(submit(handle, [=] { std::memset(memory, value, bytes); }));
}

const char* cudaGetErrorName(cudaError_t error) {
#define SIMT_NAME(name, value, text) \
  if (error == name) return #name;
  SIMT_CUDA_ERRORS(SIMT_NAME)
#undef SIMT_NAME
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
#define SIMT_TEXT(name, value, text) \
  if (error == name) return text;
  SIMT_CUDA_ERRORS(SIMT_TEXT)
#undef SIMT_TEXT
  return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() {
  return last_error;
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return remembered(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  const ApiCall call;
  if (ordinal != 0) return remembered(cudaErrorInvalidDevice);
  *properties = {.name = "emulated",
                 .totalGlobalMem = device().memory,
                 .sharedMemPerBlock = kStaticShared,
                 .warpSize = kLanes,
                 .maxThreadsPerBlock = kMaxThreads,
                 .major = 9,
                 .minor = 0,
                 .multiProcessorCount = kMultiprocessors,
                 .sharedMemPerBlockOptin = kMaxShared};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int ordinal) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal)) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return remembered(cudaErrorInvalidValue);
}
