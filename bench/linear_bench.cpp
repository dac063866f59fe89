#include "kernels/linear.h"

#include "bench/support.h"

namespace rheo::bench {
namespace {

/// One product of a coupling network.
struct Shape {
  const char* layer;
  std::int64_t rows;
  int in, out;
  Dtype type;

  std::int64_t flops() const { return 2 * rows * in * out; }
  std::string name() const {
    return std::string(layer) + (type == Dtype::f32 ? "/f32/rows:" : "/bf16/rows:") +
           std::to_string(rows) + "/in:" + std::to_string(in) + "/out:" + std::to_string(out);
  }
};

/// Of random bits; null where the backend knows none.
void* mask_of(Memory& memory, const Backend& backend, std::int64_t rows, int columns) {
  if (!backend.relu_masks) return nullptr;
  return memory.values(Dtype::f32, relu_mask_bytes(rows, columns) / size_of(Dtype::f32));
}

void forward(benchmark::State& state, const Backend& backend, const Shape& s, bool with_pack) {
  Memory memory(backend);
  const void* weight = memory.values(s.type, std::int64_t{s.in} * s.out);
  const LinearArgs args = {
      .rows = s.rows,
      .in = s.in,
      .out = s.out,
      .type = s.type,
      .x = memory.values(s.type, s.rows * s.in),
      .weight = weight,
      .packed = with_pack ? memory.packed(s.type, s.in, s.out, weight) : nullptr,
      .bias = memory.values(s.type, s.out),
      .relu = true,
      .y_type = s.type,
      .y = memory.values(s.type, s.rows * s.out),
      .mask = mask_of(memory, backend, s.rows, s.out)};
  measure_flops(state, backend, s.type, s.flops(), [&] { backend.linear_forward(args, nullptr); });
}

void backward_data(benchmark::State& state, const Backend& backend, const Shape& s) {
  Memory memory(backend);
  const LinearBackwardDataArgs args = {.rows = s.rows,
                                       .in = s.in,
                                       .out = s.out,
                                       .type = s.type,
                                       .dy = memory.values(s.type, s.rows * s.out),
                                       .weight = memory.values(s.type, std::int64_t{s.in} * s.out),
                                       .x = memory.values(s.type, s.rows * s.in),
                                       .mask = mask_of(memory, backend, s.rows, s.in),
                                       .dx_type = s.type,
                                       .dx = memory.values(s.type, s.rows * s.in)};
  measure_flops(state, backend, s.type, s.flops(),
                [&] { backend.linear_backward_data(args, nullptr); });
}

void backward_weights(benchmark::State& state, const Backend& backend, const Shape& s) {
  Memory memory(backend);
  const LinearBackwardWeightsArgs args = {.rows = s.rows,
                                          .in = s.in,
                                          .out = s.out,
                                          .type = s.type,
                                          .dy = memory.values(s.type, s.rows * s.out),
                                          .x = memory.values(s.type, s.rows * s.in),
                                          .dweight = memory.floats(std::int64_t{s.in} * s.out),
                                          .dbias = memory.floats(s.out)};
  measure_flops(state, backend, s.type, s.flops(),
                [&] { backend.linear_backward_weights(args, nullptr); });
}

void forward_packed(benchmark::State& state, const Backend& backend, const Shape& s) {
  forward(state, backend, s, true);
}

/// What packing gains, on a backend that packs.
void forward_unpacked(benchmark::State& state, const Backend& backend, const Shape& s) {
  forward(state, backend, s, false);
}

constexpr struct {
  const char* op;
  void (*row)(benchmark::State&, const Backend&, const Shape&);
} kRows[] = {{"linear_forward", forward_packed},
             {"linear_forward_unpacked", forward_unpacked},
             {"linear_backward_data", backward_data},
             {"linear_backward_weights", backward_weights}};

void add_shape(On on, const Shape& shape) {
  for (const auto& [op, row] : kRows)
    add(on, op, shape.name(), [=, row = row](auto& state, const Backend& backend) {
      if (shape.type == Dtype::bf16 && !backend.has_bf16())
        return state.SkipWithError("no bf16 on this machine");
      row(state, backend, shape);
    });
}

const bool registered = [] {
  for (const Level& level : kLevels)
    for (int hidden : kHidden)
      for (Dtype type : {Dtype::f32, Dtype::bf16}) {
        const On on = level.on() == On::all ? On::widest : level.on();
        const int columns = columns_stride(9, level.channels / 2, false);
        add_shape(on, {"conv1", level.pixels(), columns, hidden, type});
        add_shape(on, {"conv2", level.pixels(), hidden, hidden, type});
        add_shape(on, {"conv3", level.pixels(), hidden, 9 * level.channels, type});
      }
  return true;
}();

}  // namespace
}  // namespace rheo::bench
