#include "rheo/kernels.h"

#include <cmath>

#include "kernels/backend.h"
#include "src/check.h"
#include "src/queue.h"

namespace rheo {
namespace {

void require_sizes(const char* who, std::int64_t count, int height, int width, int channels) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // values: more is a mistake, not an image
  require(count >= 0 && height >= 1 && width >= 1 && channels >= 1 && height <= 65536 &&
              width <= 65536 && channels <= 65536 && count <= kMost / height / width / channels,
          who,
          ": sizes must be positive, at most 65536 but for the first, and hold at most 2^40 "
          "values; got [",
          count, ", ", height, ", ", width, ", ", channels, "]");
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
  step.kind = kind_of(call), step.gain = call.gain;
  step.taps = {call.network, 1, coupling_outputs(step.kind, step.passed), nullptr, nullptr};
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

void require_layer(const char* who, std::int64_t rows, int in, int out, const Device& device,
                   Stream stream) {
  require_sizes(who, rows, 1, 1, in);
  require_sizes(who, rows, 1, 1, out);
  // A caller's own stream has no scratch memory for products.
  require(stream == nullptr || device.name() == "cpu", who,
          ": stream must be null on a CUDA device");
}

/// What a caller's `state` holds; all zero before the first update.
struct AdamState {
  AdamControl control;
  double workspace[kAdamParts];
};

void require_adam(const AdamCall& call) {
  constexpr const char* kWho = "adam_update";
  require_sizes(kWho, call.size, 1, 1, 1);
  require_pointer(kWho, "gradient", call.gradient, call.size);
  require_pointer(kWho, "parameters", call.parameters, call.size);
  require_pointer(kWho, "first", call.first, call.size);
  require_pointer(kWho, "second", call.second, call.size);
  require_pointer(kWho, "state", call.state, 1);
  require(reinterpret_cast<std::uintptr_t>(call.state) % alignof(AdamState) == 0, kWho,
          ": state must be aligned to ", alignof(AdamState), " bytes");
  require(std::isfinite(call.learning_rate) && call.learning_rate >= 0, kWho,
          ": learning_rate must be finite and at least 0; got ", call.learning_rate);
  require(call.beta1 >= 0 && call.beta1 < 1, kWho, ": beta1 must be in [0, 1); got ", call.beta1);
  require(call.beta2 >= 0 && call.beta2 < 1, kWho, ": beta2 must be in [0, 1); got ", call.beta2);
  require(call.epsilon > 0 && std::isfinite(call.epsilon), kWho,
          ": epsilon must be positive and finite; got ", call.epsilon);
  require(call.clip_norm >= 0, kWho, ": clip_norm must be at least 0; got ", call.clip_norm);
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

void linear_forward(const Device& device, const LinearCall& call, Stream stream) {
  constexpr const char* kWho = "linear_forward";
  require_layer(kWho, call.rows, call.in, call.out, device, stream);
  require_pointer(kWho, "x", call.x, call.rows);
  require_pointer(kWho, "weight", call.weight, call.rows);
  require_pointer(kWho, "y", call.y, call.rows);
  const DeviceScope scope(device);
  device.backend().linear_forward({.rows = call.rows,
                                   .in = call.in,
                                   .out = call.out,
                                   .type = Dtype::f32,
                                   .x = call.x,
                                   .weight = call.weight,
                                   .packed = nullptr,
                                   .bias = call.bias,
                                   .relu = call.relu,
                                   .y_type = Dtype::f32,
                                   .y = call.y,
                                   .mask = nullptr},
                                  stream);
}

void linear_backward_data(const Device& device, const LinearBackwardDataCall& call, Stream stream) {
  constexpr const char* kWho = "linear_backward_data";
  require_layer(kWho, call.rows, call.in, call.out, device, stream);
  require_pointer(kWho, "dy", call.dy, call.rows);
  require_pointer(kWho, "weight", call.weight, call.rows);
  require_pointer(kWho, "dx", call.dx, call.rows);
  const DeviceScope scope(device);
  device.backend().linear_backward_data({.rows = call.rows,
                                         .in = call.in,
                                         .out = call.out,
                                         .type = Dtype::f32,
                                         .dy = call.dy,
                                         .weight = call.weight,
                                         .x = call.x,
                                         .mask = nullptr,
                                         .dx_type = Dtype::f32,
                                         .dx = call.dx},
                                        stream);
}

void linear_backward_weights(const Device& device, const LinearBackwardWeightsCall& call,
                             Stream stream) {
  constexpr const char* kWho = "linear_backward_weights";
  require_layer(kWho, call.rows, call.in, call.out, device, stream);
  require_pointer(kWho, "dy", call.dy, call.rows);
  require_pointer(kWho, "x", call.x, call.rows);
  require_pointer(kWho, "dweight", call.dweight, call.rows);
  const DeviceScope scope(device);
  device.backend().linear_backward_weights({.rows = call.rows,
                                            .in = call.in,
                                            .out = call.out,
                                            .type = Dtype::f32,
                                            .dy = call.dy,
                                            .x = call.x,
                                            .dweight = call.dweight,
                                            .dbias = call.dbias},
                                           stream);
}

std::size_t adam_state_bytes() {
  return sizeof(AdamState);
}

void adam_update(const Device& device, const AdamCall& call, Stream stream) {
  require_adam(call);
  const DeviceScope scope(device);
  const Backend& backend = device.backend();
  auto* state = static_cast<AdamState*>(call.state);
  backend.copy(&state->control.learning_rate, &call.learning_rate, sizeof(double), stream);
  const AdamArgs args = {.control = &state->control,
                         .log_prob = nullptr,
                         .log_prob_count = 0,
                         .gradient = call.gradient,
                         .parameters = call.parameters,
                         .first = call.first,
                         .second = call.second,
                         .average = nullptr,
                         .size = call.size,
                         .kind = AdamKind::adam,
                         .beta1 = call.beta1,
                         .beta2 = call.beta2,
                         .epsilon = call.epsilon,
                         .clip_norm = call.clip_norm,
                         .average_decay = 0,
                         .workspace = state->workspace};
  backend.adam_norm(args, stream);
  backend.adam_update(args, stream);
}

}  // namespace rheo
