#include "kernels/adam.h"

#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/vector.cuh"

namespace rheo::cuda {
namespace {

constexpr int kThreads = 256;
static_assert(kThreads == kAdamParts, "a thread for each part");

/// A block sums one of the parts, to NaN where a parameter is not finite. Two blocks share a
/// multiprocessor, so a thread has eight loads under way. 8 bytes a value; memory decides.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) adam_squares_kernel(AdamArgs a) {
  constexpr int kLoads = 4;  // of each
  const std::int64_t vectors = a.size / kWidth;
  const std::int64_t end = vectors * (blockIdx.x + 1) / kAdamParts;
  double sum = 0;
  float zero = 0;
  for (std::int64_t i = vectors * blockIdx.x / kAdamParts + threadIdx.x; i < end;
       i += kThreads * kLoads) {
    Vector<float, kWidth> g[kLoads] = {}, w[kLoads] = {};
#pragma unroll
    for (int l = 0; l < kLoads; ++l)
      if (const std::int64_t at = i + l * kThreads; at < end) {
        g[l] = load<kWidth>(a.gradient + at * kWidth);
        w[l] = load<kWidth>(a.parameters + at * kWidth);
      }
#pragma unroll
    for (int l = 0; l < kLoads; ++l)
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const double value = static_cast<double>(g[l].at[k]);
        sum += value * value;
        zero += math::adam_zero(w[l].at[k]);
      }
  }
  if (const std::int64_t rest = vectors * kWidth + threadIdx.x; blockIdx.x == 0 && rest < a.size) {
    const double value = static_cast<double>(a.gradient[rest]);
    sum += value * value;
    zero += math::adam_zero(a.parameters[rest]);
  }
  sum = block_sum<kThreads>(sum + static_cast<double>(zero));
  if (threadIdx.x == 0) a.workspace[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) adam_norm_kernel(AdamArgs a) {
  double log_prob = 0;
  for (std::int64_t n = threadIdx.x; n < a.log_prob_count; n += kThreads) log_prob += a.log_prob[n];
  const double squares = block_sum<kThreads>(a.workspace[threadIdx.x]);
  log_prob = block_sum<kThreads>(log_prob);
  if (threadIdx.x > 0) return;
  AdamControl& control = *a.control;
  control.norm = std::sqrt(squares);
  control.skip = math::adam_skips(a, squares, log_prob) ? 1 : 0;
  if (!control.skip) ++control.updates;
}

/// So many values of each buffer.
template <int kWidth>
struct Values {
  Vector<float, kWidth> g{}, w{}, m{}, v{}, average{};

  __device__ void fetch(const AdamArgs& a, std::int64_t at) {
    g = load<kWidth>(a.gradient + at);
    w = load<kWidth>(a.parameters + at);
    m = load<kWidth>(a.first + at);
    v = load<kWidth>(a.second + at);
    if (a.average) average = load<kWidth>(a.average + at);
  }

  template <AdamKind kKind>
  __device__ void move(const math::AdamFactors& f) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      math::adam_update<kKind>(f, g.at[i], w.at[i], m.at[i], v.at[i]);
      average.at[i] = math::adam_average(f, average.at[i], w.at[i]);
    }
  }

  __device__ void keep(const AdamArgs& a, std::int64_t at) const {
    store(a.parameters + at, w);
    store(a.first + at, m);
    store(a.second + at, v);
    if (a.average) store(a.average + at, average);
  }
};

constexpr int kRounds = 4;  // that a thread makes, so that the factors' cost is spread

/// A thread moves a vector of each buffer in a round; the first is under way while one thread of
/// the block finds the factors. 36 bytes a value with an average, 28 without; memory decides.
template <AdamKind kKind, int kWidth>
__global__ void __launch_bounds__(kThreads) adam_update_kernel(AdamArgs a) {
  RHEO_SHARED(math::AdamFactors, factors, [1]);
  const std::int64_t vectors = a.size / kWidth;
  std::int64_t i = std::int64_t{blockIdx.x} * kThreads * kRounds + threadIdx.x;
  const bool skip = a.control->skip;
  Values<kWidth> values;
  if (i < vectors) values.fetch(a, i * kWidth);
  if (skip) return;
  if (threadIdx.x == 0) factors[0] = math::adam_factors(a);
  __syncthreads();
  const math::AdamFactors f = factors[0];
  for (int round = 0; round < kRounds && i < vectors; ++round, i += kThreads) {
    if (round > 0) values.fetch(a, i * kWidth);
    values.template move<kKind>(f);
    values.keep(a, i * kWidth);
  }
  if (const std::int64_t rest = vectors * kWidth + threadIdx.x; blockIdx.x == 0 && rest < a.size) {
    Values<1> last;
    last.fetch(a, rest);
    last.template move<kKind>(f);
    last.keep(a, rest);
  }
}

bool in_vectors(const AdamArgs& a) {
  for (const float* buffer :
       {a.gradient, static_cast<const float*>(a.parameters), static_cast<const float*>(a.first),
        static_cast<const float*>(a.second), static_cast<const float*>(a.average)})
    if (!aligned(buffer, 4)) return false;
  return true;
}

template <AdamKind kKind>
void update(const AdamArgs& a, Stream stream) {
  const bool vector = in_vectors(a);
  launch(vector ? adam_update_kernel<kKind, 4> : adam_update_kernel<kKind, 1>,
         blocks_of(a.size, (vector ? 4 : 1) * kThreads * kRounds), kThreads, 0, stream, a);
}

}  // namespace

void adam_norm(const AdamArgs& a, Stream stream) {
  const bool vector = aligned(a.gradient, 4) && aligned(a.parameters, 4);
  launch(vector ? adam_squares_kernel<4> : adam_squares_kernel<1>, kAdamParts, kThreads, 0, stream,
         a);
  launch(adam_norm_kernel, 1, kThreads, 0, stream, a);
}

void adam_update(const AdamArgs& a, Stream stream) {
  switch (a.kind) {
    case AdamKind::adam:
      return update<AdamKind::adam>(a, stream);
    case AdamKind::adamax:
      return update<AdamKind::adamax>(a, stream);
    case AdamKind::adamax_openai:
      return update<AdamKind::adamax_openai>(a, stream);
  }
}

}  // namespace rheo::cuda
