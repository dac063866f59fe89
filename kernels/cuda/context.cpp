#include "kernels/cuda/context.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/runtime.h"
#include "rheo/error.h"

namespace rheo::cuda {
namespace {

std::mutex mutex;

/// By stream; the null stream, of which every device has one, also by device.
using Key = std::pair<Stream, int>;

std::map<Key, std::unique_ptr<Context>>& contexts() {
  // Never destroyed: streams may outlive the order in which static objects go.
  static auto* const all = new std::map<Key, std::unique_ptr<Context>>;
  return *all;
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "ask for the chosen GPU");
  return device;
}

Key key_of(Stream stream) {
  return {stream, stream ? 0 : current_device()};
}

/// One handle a device, for the life of the process.
cublasLtHandle_t handle_of(int device) {
  static auto* const handles = new std::unordered_map<int, cublasLtHandle_t>;
  cublasLtHandle_t& handle = (*handles)[device];
  if (handle == nullptr) check(cublasLtCreate(&handle), "start cuBLASLt");
  return handle;
}

void free_context(Context& context) {
  // Destruction goes on where a part of it fails: a lost device fails all of it.
  if (context.passed) static_cast<void>(cudaEventDestroy(context.passed));
  static_cast<void>(cudaFree(context.workspace));
  static_cast<void>(cudaFree(context.scratch));
}

void take_room(Context& context) {
  context.blas = handle_of(context.device);
  context.workspace_bytes = kWorkspace, context.scratch_floats = kScratch;
  check(cudaMalloc(&context.workspace, kWorkspace), "take a stream's workspace");
  check(cudaMalloc(reinterpret_cast<void**>(&context.scratch), kScratch * sizeof(float)),
        "take a stream's workspace");
}

std::unique_ptr<Context> make_context(bool linear) {
  auto context = std::make_unique<Context>();
  try {
    context->device = current_device();
    if (linear) take_room(*context);
    check(cudaEventCreateWithFlags(&context->passed, cudaEventDisableTiming), "make an event");
  } catch (...) {
    free_context(*context);
    throw;
  }
  return context;
}

}  // namespace

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? Errc::out_of_memory : Errc::device,
              std::string("cuda: ") + what + ": " + cublasLtGetStatusString(status) + " (" +
                  cublasLtGetStatusName(status) + ")");
}

Context& context_of(Stream stream) {
  const std::lock_guard lock(mutex);
  const auto found = contexts().find(key_of(stream));
  const bool is_there = found != contexts().end();
  if (is_there && found->second->workspace) return *found->second;
  if (is_there || stream)
    throw Error(Errc::invalid_argument,
                "cuda: linear operations need a stream that the backend opened for them");
  return *(contexts()[key_of(stream)] = make_context(true));
}

Stream open(bool linear) {
  const std::lock_guard lock(mutex);
  std::unique_ptr<Context> context = make_context(linear);
  Stream stream = nullptr;
  const cudaError_t status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (status != cudaSuccess) free_context(*context);
  check(status, "make a stream");
  contexts()[key_of(stream)] = std::move(context);
  return stream;
}

void close(Stream stream) {
  if (stream == nullptr) return;
  static_cast<void>(cudaStreamSynchronize(stream));  // others may go on meanwhile: no lock yet
  const std::lock_guard lock(mutex);
  const auto found = contexts().find(key_of(stream));
  if (found == contexts().end()) return;
  free_context(*found->second);
  static_cast<void>(cudaStreamDestroy(stream));
  contexts().erase(found);
}

void wait(Stream stream, Stream other) {
  const cudaEvent_t passed = [&] {
    const std::lock_guard lock(mutex);
    const auto found = contexts().find(key_of(other));
    if (found == contexts().end())
      throw Error(Errc::invalid_argument, "cuda: wait needs a stream that the backend opened");
    return found->second->passed;
  }();
  check(cudaEventRecord(passed, other), "mark a stream");
  check(cudaStreamWaitEvent(stream, passed, 0), "wait for a stream");
}

}  // namespace rheo::cuda
