#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "queue.h"
#include "simt/runtime_api.h"

namespace simt {

/// An operation of a graph, after others of it.
struct Node {
  std::function<void()> run;
  std::vector<int> after;
};

/// Streams that are being captured together.
struct Capture {
  cudaStream_t origin;
  std::optional<std::thread::id> thread;  // whose calls it forbids to allocate; none: everybody's
  bool valid;
  std::vector<Node> nodes;
  std::vector<cudaStream_t> streams;
};

}  // namespace simt

struct CUstream_st {
  bool blocking;  // waits for the null stream and makes it wait
  simt::Work last;
  std::shared_ptr<simt::Capture> capture;  // null: not being captured
  std::vector<int> last_nodes;             // of the capture, that what comes next comes after
};

struct CUevent_st {
  simt::Work work;
  std::shared_ptr<simt::Capture> capture;  // null: not recorded in one
  std::vector<int> nodes;
};

namespace simt {

/// Null if there is no such stream.
CUstream_st* find_stream(cudaStream_t);

/// What work added to the stream now has to come after.
std::vector<Work> before_next(const CUstream_st&);

/// Adds to the stream's queue, or to the graph that is captured from it.
cudaError_t submit(cudaStream_t, std::function<void()> run);

/// The error of a call that has no place in a capture, which it spoils; success if there is none.
cudaError_t refuse_in_capture(CUstream_st&);
cudaError_t refuse_in_any_capture();  // that concerns the calling thread

}  // namespace simt
