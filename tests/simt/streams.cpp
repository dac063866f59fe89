// Streams and events: queues of work and the edges between them.

#include "streams.h"

#include <algorithm>
#include <set>
#include <utility>

#include "api.h"
#include "simt/control.h"

namespace simt {
namespace {

struct Streams {
  CUstream_st null_stream{.blocking = true, .last = {}, .capture = {}, .last_nodes = {}};
  std::set<cudaStream_t> made;
};

Streams& streams() {
  static auto* const all = new Streams;  // pools and caches may outlive any static object
  return *all;
}

void join(CUstream_st& stream, const std::shared_ptr<Capture>& capture) {
  stream.capture = capture;
  capture->streams.push_back(&stream);
}

void add_nodes(std::vector<int>& to, const std::vector<int>& nodes) {
  to.insert(to.end(), nodes.begin(), nodes.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

cudaError_t wait_for_captured(CUstream_st& stream, const CUevent_st& event) {
  if (event.capture->streams.empty()) return cudaErrorCapturedEvent;  // the capture has ended
  if (stream.capture && stream.capture != event.capture) {
    stream.capture->valid = event.capture->valid = false;
    return cudaErrorStreamCaptureMerge;
  }
  if (&stream == &streams().null_stream) {
    event.capture->valid = false;
    return cudaErrorStreamCaptureImplicit;
  }
  if (!event.capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (!stream.capture) {
    stream.last_nodes.clear();
    join(stream, event.capture);
  }
  add_nodes(stream.last_nodes, event.nodes);
  return cudaSuccess;
}

}  // namespace

CUstream_st* find_stream(cudaStream_t handle) {
  if (!handle) return &streams().null_stream;
  return streams().made.contains(handle) ? handle : nullptr;
}

std::vector<Work> before_next(const CUstream_st& stream) {
  std::vector<Work> before{stream.last};
  if (&stream == &streams().null_stream) {
    for (const cudaStream_t other : streams().made)
      if (other->blocking) before.push_back(other->last);
  } else if (stream.blocking) {
    before.push_back(streams().null_stream.last);
  }
  return before;
}

cudaError_t submit(cudaStream_t handle, std::function<void()> run) {
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream == &streams().null_stream) {
    for (const cudaStream_t other : streams().made) {
      if (!other->blocking || !other->capture) continue;
      other->capture->valid = false;
      return cudaErrorStreamCaptureImplicit;
    }
  }
  if (!stream->capture) {
    stream->last = add(std::move(run), before_next(*stream));
    return cudaSuccess;
  }
  Capture& capture = *stream->capture;
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  capture.nodes.push_back({std::move(run), stream->last_nodes});
  stream->last_nodes = {static_cast<int>(capture.nodes.size()) - 1};
  return cudaSuccess;
}

cudaError_t refuse_in_capture(CUstream_st& stream) {
  if (!stream.capture) return cudaSuccess;
  return std::exchange(stream.capture->valid, false) ? cudaErrorStreamCaptureUnsupported
                                                     : cudaErrorStreamCaptureInvalidated;
}

cudaError_t refuse_in_any_capture() {
  cudaError_t error = cudaSuccess;
  const std::thread::id self = std::this_thread::get_id();
  for (const cudaStream_t stream : streams().made) {
    Capture* const capture = stream->capture.get();
    if (!capture || capture->thread.value_or(self) != self) continue;
    capture->valid = false;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> run) {
  const ApiCall call;
  return remembered(submit(stream, std::move(run)));
}

bool capturing() {
  const ApiCall call;
  const std::thread::id self = std::this_thread::get_id();
  return std::any_of(streams().made.begin(), streams().made.end(), [self](cudaStream_t stream) {
    return stream->capture && stream->capture->thread.value_or(self) == self;
  });
}

}  // namespace simt

using namespace simt;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const ApiCall call;
  if (!stream || flags > cudaStreamNonBlocking) return remembered(cudaErrorInvalidValue);
  *stream = new CUstream_st{flags == cudaStreamDefault, {}, {}, {}};
  streams().made.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const ApiCall call;
  if (!handle || !find_stream(handle)) return remembered(cudaErrorInvalidResourceHandle);
  if (handle->capture) {
    handle->capture->valid = false;
    std::erase(handle->capture->streams, handle);
  }
  streams().made.erase(handle);
  delete handle;  // its work stays queued
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return remembered(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = refuse_in_capture(*stream)) return remembered(error);
  if (handle) {
    complete(stream->last);
  } else {
    for (const Work& work : before_next(*stream)) complete(work);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const ApiCall call;
  if (const cudaError_t error = refuse_in_any_capture()) return remembered(error);
  complete_all();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream || !event) return remembered(cudaErrorInvalidResourceHandle);
  if (flags != 0) return remembered(cudaErrorInvalidValue);
  if (event->capture) return remembered(wait_for_captured(*stream, *event));
  if (!event->work) return cudaSuccess;  // never recorded
  if (stream->capture) {
    stream->capture->valid = false;
    return remembered(cudaErrorStreamCaptureIsolation);
  }
  std::vector<Work> before = before_next(*stream);
  before.push_back(event->work);
  stream->last = add(nullptr, std::move(before));
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const ApiCall call;
  if (!event || flags > (cudaEventBlockingSync | cudaEventDisableTiming))
    return remembered(cudaErrorInvalidValue);
  *event = new CUevent_st{};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const ApiCall call;
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const ApiCall call;
  CUstream_st* const stream = find_stream(handle);
  if (!stream || !event) return remembered(cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    if (!stream->capture->valid) return remembered(cudaErrorStreamCaptureInvalidated);
    *event = {nullptr, stream->capture, stream->last_nodes};
    return cudaSuccess;
  }
  stream->last = add(nullptr, before_next(*stream));
  *event = {stream->last, nullptr, {}};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const ApiCall call;
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  if (event->capture) {
    event->capture->valid = false;
    return remembered(cudaErrorCapturedEvent);
  }
  complete(event->work);
  return cudaSuccess;
}
