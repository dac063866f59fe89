#include "rheo/kernels.h"

#include "kernels/backend.h"
#include "src/check.h"
#include "src/queue.h"

namespace rheo {
namespace {

void require_sizes(const char* who, std::int64_t count, int height, int width, int channels) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // values: more is a mistake, not an image
  require(count >= 0 && height >= 1 && width >= 1 && channels >= 1 && height <= 65536 &&
              width <= 65536 && channels <= 65536 && count <= kMost / height / width / channels,
          who, ": sizes must be positive and hold at most 2^40 values; got [", count, ", ", height,
          ", ", width, ", ", channels, "]");
}

void require_pointer(const char* who, const char* what, const void* pointer, std::int64_t count) {
  require(pointer != nullptr || count == 0, who, ": ", what, " must not be null");
}

CouplingKind kind_of(const CouplingCall& call) {
  if (call.coupling == Coupling::additive) return CouplingKind::additive;
  switch (call.scale) {
    case Scale::sigmoid2:
      return CouplingKind::sigmoid2;
    case Scale::bounded:
      return CouplingKind::bounded;
    case Scale::tanh:
      return CouplingKind::tanh;
  }
  throw Error(Errc::invalid_argument, "coupling: scale is none of those that there are");
}

StepArgs coupling_step(const char* who, const CouplingCall& call) {
  require_sizes(who, call.count, call.height, call.width, call.channels);
  require(call.channels % 2 == 0, who, ": channels must be even; got ", call.channels);
  require_pointer(who, "network", call.network, call.count);
  require_pointer(who, "from", call.from, call.count);
  require_pointer(who, "to", call.to, call.count);
  StepArgs step{};
  step.grid = {call.count, call.height, call.width};
  step.channels = call.channels;
  step.from = call.from, step.to = call.to;
  step.passed = call.channels / 2;
  step.taps = {call.network, 1, nullptr, nullptr};
  step.kind = kind_of(call), step.gain = call.gain;
  if (step.kind == CouplingKind::tanh) require_pointer(who, "gain", call.gain, call.count);
  return step;
}

StepArgs mix_step(const char* who, const MixCall& call) {
  require_sizes(who, call.pixels, 1, 1, call.channels);
  require(call.pixels < std::int64_t{1} << 31, who, ": pixels must be below 2^31; got ",
          call.pixels);
  require_pointer(who, "matrix", call.matrix, call.pixels);
  require_pointer(who, "bias", call.bias, call.pixels);
  require_pointer(who, "from", call.from, call.pixels);
  require_pointer(who, "to", call.to, call.pixels);
  StepArgs step{};
  step.grid = {1, 1, static_cast<int>(call.pixels)};  // where a pixel lies does not matter to a mix
  step.channels = call.channels;
  step.from = call.from, step.to = call.to;
  step.mix = call.matrix, step.bias = call.bias;
  return step;
}

}  // namespace

int coupling_partials(int height, int width) {
  require_sizes("coupling_partials", 1, height, width, 1);
  return tiles_of({1, height, width});
}

void coupling_forward(const Device& device, const CouplingCall& call, Stream stream) {
  StepArgs step = coupling_step("coupling_forward", call);
  require_pointer("coupling_forward", "log_det", call.log_det, call.count);
  step.log_det = {call.log_det, tiles_of(step.grid)};
  const DeviceScope scope(device);
  device.backend().step_forward(step, stream);
}

void coupling_inverse(const Device& device, const CouplingCall& call, Stream stream) {
  const StepArgs step = coupling_step("coupling_inverse", call);
  const DeviceScope scope(device);
  device.backend().step_inverse(step, stream);
}

void mix_forward(const Device& device, const MixCall& call, Stream stream) {
  const StepArgs step = mix_step("mix_forward", call);
  const DeviceScope scope(device);
  device.backend().step_forward(step, stream);
}

void mix_inverse(const Device& device, const MixCall& call, Stream stream) {
  const StepArgs step = mix_step("mix_inverse", call);
  const DeviceScope scope(device);
  device.backend().step_inverse(step, stream);
}

void log_det_sum(const Device& device, const float* partials, std::int64_t count, int per_image,
                 double* sums, Stream stream) {
  require_sizes("log_det_sum", count, 1, 1, per_image);
  require_pointer("log_det_sum", "partials", partials, count);
  require_pointer("log_det_sum", "sums", sums, count);
  const DeviceScope scope(device);
  device.backend().log_det_sum({.partials = {const_cast<float*>(partials), per_image},
                                .count = count,
                                .used = per_image,
                                .constants = nullptr,
                                .constant_count = 0,
                                .log_prob = sums},
                               stream);
}

}  // namespace rheo
