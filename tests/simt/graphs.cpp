// Capture: what streams would queue becomes a graph, which may then be queued any number of times.

#include <algorithm>

#include "api.h"
#include "streams.h"

struct CUgraph_st {
  std::vector<simt::Node> nodes;
};

struct CUgraphExec_st {
  std::vector<simt::Node> nodes;
  simt::Work last;  // one launch at a time
};

namespace simt {
namespace {

// Whether everything that the capture's streams did comes before what its origin would do next.
bool joined(const Capture& capture) {
  std::vector<bool> before(capture.nodes.size());
  for (const int node : capture.origin->last_nodes) before[node] = true;
  for (int node = static_cast<int>(capture.nodes.size()) - 1; node >= 0; --node)
    if (before[node])
      for (const int earlier : capture.nodes[node].after) before[earlier] = true;
  return std::find(before.begin(), before.end(), false) == before.end();
}

}  // namespace
}  // namespace simt

using namespace simt;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return remembered(cudaErrorInvalidResourceHandle);
  if (!handle) return remembered(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) {
    stream->capture->valid = false;
    return remembered(cudaErrorStreamCaptureUnsupported);
  }
  std::optional<std::thread::id> thread;
  if (mode == cudaStreamCaptureModeThreadLocal) thread = std::this_thread::get_id();
  stream->capture = std::make_shared<Capture>(Capture{handle, thread, true, {}, {handle}});
  stream->last_nodes.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream || !stream->capture || !graph) return remembered(cudaErrorInvalidValue);
  *graph = nullptr;
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != handle) {
    capture->valid = false;
    return remembered(cudaErrorStreamCaptureUnmatched);
  }
  const bool all_joined = joined(*capture);
  for (const cudaStream_t member : capture->streams) member->capture = nullptr;
  capture->streams.clear();
  if (!capture->valid) return remembered(cudaErrorStreamCaptureInvalidated);
  if (!all_joined) return remembered(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags) {
  const ApiCall call;
  if (!exec || !graph || flags != 0) return remembered(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{graph->nodes, nullptr};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream || !exec) return remembered(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = refuse_in_capture(*stream)) return remembered(error);
  std::vector<Work> before = before_next(*stream);
  before.push_back(exec->last);
  const Work begin = add(nullptr, std::move(before));
  std::vector<Work> works;
  for (const Node& node : exec->nodes) {
    std::vector<Work> after{begin};
    for (const int earlier : node.after) after.push_back(works[earlier]);
    works.push_back(add(node.run, std::move(after)));
  }
  works.push_back(begin);
  stream->last = exec->last = add(nullptr, std::move(works));
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const ApiCall call;
  if (!exec) return remembered(cudaErrorInvalidValue);
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const ApiCall call;
  if (!graph) return remembered(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
