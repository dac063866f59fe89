// The products are cuBLASLt's, with bias, ReLU and mask fused into them where it can. Where it
// cannot, small kernels do that afterwards. The gradient of a bias is always ours: cuBLASLt would
// round it to the type of dy.

#include "kernels/linear.h"

#include <algorithm>

#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/vector.cuh"

namespace rheo::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;

/// Bytes between the rows of a mask.
__host__ __device__ constexpr std::int64_t mask_pitch(int columns) {
  return (columns + 127) / 128 * 16;
}

/// A block for each kWarps rows, and 32 * width columns.
dim3 grid_of(std::int64_t rows, int columns, int width) {
  return dim3(blocks_of(rows, kWarps), blocks_of(columns, kWarp * width));
}

/// to = from + bias, behind the ReLU if there is one. A thread has one value, a warp those of 32
/// columns, so that it moves whole lines. `to` may be `from`.
template <class T>
__global__ __launch_bounds__(kThreads) void bias_relu_kernel(const float* from, const T* bias,
                                                             bool relu, std::int64_t rows, int out,
                                                             T* to) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int column = blockIdx.y * kWarp + threadIdx.x % kWarp;
  if (row >= rows || column >= out) return;
  float value = from[row * out + column];
  if (bias) value += to_float(bias[column]);
  if (relu && value < 0) value = 0;  // NaN stays
  round_to(to[row * out + column], value);
}

/// The bits of y > 0. A warp has 128 columns of a row, one unit of the mask.
template <class T>
__global__ __launch_bounds__(kThreads) void relu_mask_kernel(const T* y, std::int64_t rows, int out,
                                                             unsigned* mask) {
  const int units = (out + 127) / 128, lane = threadIdx.x % kWarp;
  const std::int64_t unit = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (unit >= rows * units) return;  // a warp as one
  const std::int64_t row = unit / units;
  const int first = static_cast<int>(unit % units) * 128;
  unsigned own = 0;
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    const int column = first + word * kWarp + lane;
    const bool positive = column < out && to_float(y[row * out + column]) > 0;
    const unsigned bits = __ballot_sync(0xffffffffu, positive);
    if (lane == word) own = bits;
  }
  if (lane < 4) mask[unit * 4 + lane] = own;
}

/// dx = 0 where the ReLU let nothing through, by its mask or else by its output x. A thread has
/// kWidth values of a row.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void relu_backward_kernel(const T* x,
                                                                 const unsigned char* mask,
                                                                 std::int64_t rows, int in, T* dx) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int column = (blockIdx.y * kWarp + threadIdx.x % kWarp) * kWidth;
  if (row >= rows || column >= in) return;
  const std::int64_t at = row * in + column;
  Vector<T, kWidth> values = load<kWidth>(dx + at);
  unsigned kept = 0;
  if (mask) {
    kept = mask[row * mask_pitch(in) + column / 8] >> column % 8;
  } else {
    const Vector<T, kWidth> outputs = load<kWidth>(x + at);
#pragma unroll
    for (int v = 0; v < kWidth; ++v) kept |= (to_float(outputs.at[v]) > 0 ? 1u : 0u) << v;
  }
#pragma unroll
  for (int v = 0; v < kWidth; ++v)
    if (!(kept >> v & 1u)) round_to(values.at[v], 0.f);
  store(dx + at, values);
}

void relu_backward(const LinearBackwardDataArgs& a, Stream stream) {
  with_type(a.dx_type, [&]<class T>(T*) {
    constexpr int kWidth = 16 / sizeof(T);
    const T* x = static_cast<const T*>(a.x);
    T* dx = static_cast<T*>(a.dx);
    const auto* mask = static_cast<const unsigned char*>(a.mask);
    if (a.in % kWidth == 0 && aligned(x, kWidth) && aligned(dx, kWidth))
      launch(relu_backward_kernel<T, kWidth>, grid_of(a.rows, a.in, kWidth), dim3(kThreads), 0,
             stream, x, mask, a.rows, a.in, dx);
    else
      launch(relu_backward_kernel<T, 1>, grid_of(a.rows, a.in, 1), dim3(kThreads), 0, stream, x,
             mask, a.rows, a.in, dx);
  });
}

constexpr std::int64_t kMostParts = 512;  // of a column's sum: some blocks for each of 132 SMs
constexpr std::int64_t kLeastRows = 32;   // of a part, four loads to a thread
constexpr int kUnroll = 4;                // loads in flight
constexpr int kAddColumns = 8;            // a sector of 32 bytes
constexpr int kAddLanes = kThreads / kAddColumns;

/// Sums of kWarp * kWidth columns over the rows of part blockIdx.x. A warp has every eighth row, a
/// lane kWidth columns; the warps' sums are added in their order.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void column_sums_kernel(const T* x, std::int64_t rows,
                                                               int columns, std::int64_t part_rows,
                                                               float* parts) {
  RHEO_SHARED(float, sums, [kWarps][kWarp * kWidth]);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int first = blockIdx.y * kWarp * kWidth, column = first + lane * kWidth;
  const std::int64_t begin = blockIdx.x * part_rows;
  const std::int64_t end = begin + part_rows < rows ? begin + part_rows : rows;
  float own[kWidth] = {};
  if (column < columns) {
    const T* from = x + column;
#pragma unroll kUnroll
    for (std::int64_t row = begin + warp; row < end; row += kWarps) {
      const Vector<T, kWidth> values = load<kWidth>(from + row * columns);
#pragma unroll
      for (int v = 0; v < kWidth; ++v) own[v] += to_float(values.at[v]);
    }
  }
#pragma unroll
  for (int v = 0; v < kWidth; ++v) sums[warp][lane * kWidth + v] = own[v];
  __syncthreads();
  for (int c = threadIdx.x; c < kWarp * kWidth && first + c < columns; c += kThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += sums[w][c];
    parts[std::int64_t{blockIdx.x} * columns + first + c] = sum;
  }
}

/// to += the parts, a lane every 32nd of them, then the lanes in their order.
__global__ __launch_bounds__(kThreads) static void add_parts_kernel(const float* parts, int count,
                                                                    int columns, float* to) {
  RHEO_SHARED(float, sums, [kAddLanes][kAddColumns]);
  const int lane = threadIdx.x / kAddColumns, c = threadIdx.x % kAddColumns;
  const int column = blockIdx.x * kAddColumns + c;
  float sum = 0;
  if (column < columns)
#pragma unroll kUnroll
    for (int part = lane; part < count; part += kAddLanes)
      sum += parts[std::int64_t{part} * columns + column];
  sums[lane][c] = sum;
  __syncthreads();
  if (lane > 0 || column >= columns) return;
  sum = 0;
#pragma unroll
  for (int l = 0; l < kAddLanes; ++l) sum += sums[l][c];
  to[column] += sum;
}

void bias_gradient(const LinearBackwardWeightsArgs& a, const Context& context, Stream stream) {
  const auto room = static_cast<std::int64_t>(context.scratch_floats) / a.out;
  const std::int64_t most = std::min(kMostParts, room);
  const std::int64_t part_rows = std::max(kLeastRows, (a.rows + most - 1) / most);
  const unsigned parts = blocks_of(a.rows, static_cast<int>(part_rows));
  with_type(a.type, [&]<class T>(T*) {
    constexpr int kWidth = 16 / sizeof(T);
    const T* dy = static_cast<const T*>(a.dy);
    if (a.out % kWidth == 0 && aligned(dy, kWidth))
      launch(column_sums_kernel<T, kWidth>, dim3(parts, blocks_of(a.out, kWarp * kWidth)),
             dim3(kThreads), 0, stream, dy, a.rows, a.out, part_rows, context.scratch);
    else
      launch(column_sums_kernel<T, 1>, dim3(parts, blocks_of(a.out, kWarp)), dim3(kThreads), 0,
             stream, dy, a.rows, a.out, part_rows, context.scratch);
  });
  launch(add_parts_kernel, dim3(blocks_of(a.out, kAddColumns)), dim3(kThreads), 0, stream,
         context.scratch, static_cast<int>(parts), a.out, a.dbias);
}

cublasLtEpilogue_t epilogue_of(const LinearArgs& a, bool mask) {
  if (!a.relu) return a.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (mask) return a.bias ? CUBLASLT_EPILOGUE_RELU_AUX_BIAS : CUBLASLT_EPILOGUE_RELU_AUX;
  return a.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
}

/// The product, and then its bias and ReLU. What is to be rounded to bf16 is rounded once, so that
/// the sums wait in the scratch memory, as many rows at a time as it holds.
void forward_in_parts(const LinearArgs& a, const Context& context, Stream stream) {
  const bool whole = a.y_type == Dtype::f32 || (!a.bias && !a.relu);
  const std::int64_t room = static_cast<std::int64_t>(context.scratch_floats) / a.out;
  const std::int64_t step = whole ? a.rows : std::min(a.rows, room);
  for (std::int64_t first = 0; first < a.rows; first += step) {
    const std::int64_t rows = std::min(step, a.rows - first);
    const auto* x = static_cast<const char*>(a.x) + first * a.in * size_of(a.type);
    void* sums = whole ? a.y : context.scratch;
    multiply(context,
             {.form = Form::nt,
              .m = rows,
              .n = a.out,
              .k = a.in,
              .type = a.type,
              .c_type = whole ? a.y_type : Dtype::f32,
              .epilogue = CUBLASLT_EPILOGUE_DEFAULT},
             {.a = x, .b = a.weight, .c = sums, .bias = nullptr, .mask = nullptr}, stream);
    if (!a.bias && !a.relu) continue;
    with_type(a.y_type, [&]<class T>(T*) {
      launch(bias_relu_kernel<T>, grid_of(rows, a.out, 1), dim3(kThreads), 0, stream,
             static_cast<const float*>(sums), static_cast<const T*>(a.bias), a.relu, rows, a.out,
             static_cast<T*>(a.y) + first * a.out);
    });
  }
}

}  // namespace

void linear_forward(const LinearArgs& a, Stream stream) {
  if (a.rows == 0) return;
  const Context& context = context_of(stream);
  const Operands operands = {.a = a.x, .b = a.weight, .c = a.y, .bias = a.bias, .mask = a.mask};
  Product product = {.form = Form::nt,
                     .m = a.rows,
                     .n = a.out,
                     .k = a.in,
                     .type = a.type,
                     .c_type = a.y_type,
                     .epilogue = epilogue_of(a, a.mask != nullptr)};
  if (multiply_fused(context, product, operands, stream)) return;
  product.epilogue = epilogue_of(a, false);
  if (!a.mask || !multiply_fused(context, product, operands, stream))
    forward_in_parts(a, context, stream);
  if (!a.mask || !a.relu) return;
  with_type(a.y_type, [&]<class T>(T*) {
    launch(relu_mask_kernel<T>, dim3(blocks_of(relu_mask_bytes(a.rows, a.out) / 16, kWarps)),
           dim3(kThreads), 0, stream, static_cast<const T*>(a.y), a.rows, a.out,
           static_cast<unsigned*>(a.mask));
  });
}

void linear_backward_data(const LinearBackwardDataArgs& a, Stream stream) {
  if (a.rows == 0) return;
  const Context& context = context_of(stream);
  const Operands operands = {.a = a.dy, .b = a.weight, .c = a.dx, .bias = nullptr, .mask = a.mask};
  const Product product = {.form = Form::nn,
                           .m = a.rows,
                           .n = a.in,
                           .k = a.out,
                           .type = a.type,
                           .c_type = a.dx_type,
                           .epilogue = CUBLASLT_EPILOGUE_DRELU};
  if (a.mask && multiply_fused(context, product, operands, stream)) return;
  multiply(context, product, operands, stream);
  if (a.mask || a.x) relu_backward(a, stream);
}

void linear_backward_weights(const LinearBackwardWeightsArgs& a, Stream stream) {
  if (a.rows == 0) return;
  const Context& context = context_of(stream);
  multiply(context,
           {.form = Form::tn,
            .m = a.out,
            .n = a.in,
            .k = a.rows,
            .type = a.type,
            .c_type = Dtype::f32,
            .epilogue = CUBLASLT_EPILOGUE_DEFAULT},
           {.a = a.dy, .b = a.x, .c = a.dweight, .bias = nullptr, .mask = nullptr}, stream);
  if (a.dbias) bias_gradient(a, context, stream);
}

}  // namespace rheo::cuda
