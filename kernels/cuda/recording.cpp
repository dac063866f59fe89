// Recorded work: a CUDA graph.

#include <exception>
#include <memory>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/runtime.h"

namespace rheo {

struct Recording {
  cudaGraphExec_t graph;
};

namespace cuda {

Recording* record(Stream stream, void (*work)(void* what), void* what) {
  // Other threads may go on allocating meanwhile; only this one's calls are recorded.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin to record");
  std::exception_ptr failed;
  try {
    work(what);
  } catch (...) {
    failed = std::current_exception();
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  if (failed) {
    if (graph) static_cast<void>(cudaGraphDestroy(graph));
    static_cast<void>(cudaGetLastError());  // the recording's, told already
    std::rethrow_exception(failed);
  }
  if (ended != cudaSuccess) static_cast<void>(cudaGetLastError());
  check(ended, "end a recording");
  auto recording = std::make_unique<Recording>();
  const cudaError_t made = cudaGraphInstantiate(&recording->graph, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  if (made == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return nullptr;  // what has no room as one launch may have some as many
  }
  check(made, "make a graph");
  return recording.release();
}

void replay(Recording* recording, Stream stream) {
  check(cudaGraphLaunch(recording->graph, stream), "launch a graph");
}

void forget(Recording* recording) {
  if (recording == nullptr) return;
  static_cast<void>(cudaGraphExecDestroy(recording->graph));
  delete recording;
}

}  // namespace cuda
}  // namespace rheo
