#include "kernels/prior.h"

#include <initializer_list>

#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/tile.cuh"
#include "kernels/cuda/vector.cuh"

namespace rheo::cuda {
namespace {

// A tile of 64 pixels has 192 vectors where 6 channels go by pairs and where 12 go by fours, and a
// multiple of that on deeper levels: every thread has work.
constexpr int kThreads = 192;
constexpr int kRowThreads = 256;  // of the sums by label
constexpr int kNoiseThreads = 128;
constexpr int kWarp = 32;

/// Offsets of a vector's first value.
struct Place {
  std::int64_t z, parameter, eps;
};

/// f(place) for each vector of a tile, neighbours to neighbouring threads.
template <int kWidth, class F>
__device__ void for_each_vector(const PriorArgs& a, const Tile& tile, const F& f) {
  const std::int64_t label_row = a.by_label && a.labels ? a.labels[tile.image] : 0;
  const std::int64_t parameter = (a.by_label ? label_row : tile.row) * a.parameter_stride;
  const int parameter_stride = a.by_label ? 0 : a.parameter_stride;
  const std::int64_t eps = tile.image * a.eps_stride + std::int64_t{tile.first} * a.channels;
  const int vectors = a.channels / kWidth;
  const int step_pixels = kThreads / vectors, step_vectors = kThreads % vectors;
  int p = thread() / vectors, v = thread() % vectors;
  while (p < tile.count) {
    const int c = v * kWidth;
    f(Place{(tile.row + p) * a.z_stride + c, parameter + p * parameter_stride + c,
            eps + p * a.channels + c});
    p += step_pixels, v += step_vectors;
    if (v >= vectors) v -= vectors, ++p;
  }
}

/// A block takes a tile; reads three floats and writes one for each value, in vectors, though eps
/// singly where it is not aligned: whether it is wanted may not change the order of the sum.
template <int kWidth, bool kEpsAligned>
__global__ void __launch_bounds__(kThreads) prior_log_prob_kernel(PriorArgs a, Images images) {
  const Tile tile = tile_at(images, blockIdx.x);
  double log_prob = 0;
  for_each_vector<kWidth>(a, tile, [&](const Place& at) {
    const auto z = load<kWidth>(a.z + at.z), mean = load<kWidth>(a.mean + at.parameter);
    const auto log_sd = load<kWidth>(a.log_sd + at.parameter);
    Vector<float, kWidth> eps;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const math::Whitened w = math::whiten(z.at[i], mean.at[i], log_sd.at[i], a.bounded);
      eps.at[i] = w.eps;
      log_prob += static_cast<double>(math::prior_log_prob(a.kind, w.eps, w.log_sd));
    }
    if (a.eps == nullptr) return;
    if constexpr (kEpsAligned) {
      store(a.eps + at.eps, eps);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) a.eps[at.eps + i] = eps.at[i];
    }
  });
  log_prob = block_sum<kThreads>(log_prob);
  if (thread() == 0 && a.log_prob.data)
    a.log_prob.data[tile.image * a.log_prob.stride + tile.index] = static_cast<float>(log_prob);
}

/// A block takes a tile; reads three floats and writes one for each value.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) prior_sample_kernel(PriorArgs a, Images images) {
  for_each_vector<kWidth>(a, tile_at(images, blockIdx.x), [&](const Place& at) {
    const auto eps = load<kWidth>(a.eps + at.eps), mean = load<kWidth>(a.mean + at.parameter);
    const auto log_sd = load<kWidth>(a.log_sd + at.parameter);
    Vector<float, kWidth> z;
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      z.at[i] = math::colour(eps.at[i], mean.at[i], log_sd.at[i], a.bounded);
    store(a.z + at.z, z);
  });
}

/// A block takes a tile; reads three floats and writes up to three for each value, by label dz
/// alone.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    prior_backward_kernel(PriorBackwardArgs b, Images images) {
  const PriorArgs& a = b.forward;
  const Tile tile = tile_at(images, blockIdx.x);
  const float dlog_prob = b.dlog_prob[tile.image];
  for_each_vector<kWidth>(a, tile, [&](const Place& at) {
    const auto z = load<kWidth>(a.z + at.z), mean = load<kWidth>(a.mean + at.parameter);
    const auto log_sd = load<kWidth>(a.log_sd + at.parameter);
    Vector<float, kWidth> dz, dmean, dlog_sd;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const math::PriorGradient g =
          math::prior_gradient(a.kind, z.at[i], mean.at[i], log_sd.at[i], a.bounded, dlog_prob);
      dz.at[i] = g.dz, dmean.at[i] = -g.dz, dlog_sd.at[i] = g.dlog_sd;
    }
    store(b.dz + at.z, dz);
    if (a.by_label) return;
    if (b.dmean) store(b.dmean + at.parameter, dmean);
    if (b.dlog_sd) store(b.dlog_sd + at.parameter, dlog_sd);
  });
}

/// Gradients of mean and log_sd of one value, or their sum.
struct RowGradient {
  double mean, log_sd;
};

/// Sum over the pixels of image n that are a lane's.
__device__ RowGradient sum_of_pixels(const PriorBackwardArgs& b, std::int64_t n, int label, int c,
                                     int lane, int lanes) {
  const PriorArgs& a = b.forward;
  const std::int64_t pixels = std::int64_t{a.grid.height} * a.grid.width;
  const std::int64_t parameter = std::int64_t{label} * a.parameter_stride + c;
  const float mean = a.mean[parameter], log_sd = a.log_sd[parameter], dlog_prob = b.dlog_prob[n];
  const float* z = a.z + n * pixels * a.z_stride + c;
  RowGradient sum{0, 0};
#pragma unroll 4
  for (std::int64_t p = lane; p < pixels; p += lanes) {
    const math::PriorGradient g =
        math::prior_gradient(a.kind, z[p * a.z_stride], mean, log_sd, a.bounded, dlog_prob);
    sum.mean -= static_cast<double>(g.dz);
    sum.log_sd += static_cast<double>(g.dlog_sd);
  }
  return sum;
}

/// Adds the sums of some images to their labels' rows: the first image of a label does so for all
/// of them, in order.
__device__ void add_to_rows(const PriorBackwardArgs& b, const RowGradient* sums, const int* labels,
                            int images, int c) {
  const int own = thread();
  if (own >= images) return;
  for (int i = 0; i < own; ++i)
    if (labels[i] == labels[own]) return;
  RowGradient sum = sums[own];
  for (int i = own + 1; i < images; ++i)
    if (labels[i] == labels[own]) sum.mean += sums[i].mean, sum.log_sd += sums[i].log_sd;
  const std::int64_t parameter = std::int64_t{labels[own]} * b.forward.parameter_stride + c;
  if (b.dmean) b.dmean[parameter] += static_cast<float>(sum.mean);
  if (b.dlog_sd) b.dlog_sd[parameter] += static_cast<float>(sum.log_sd);
}

// Rows by label have no other writer than the block that takes their channel through all images,
// kRowThreads / lanes of them at a time, each by `lanes` threads of a warp. It reads a sector for
// each float of z, which is small here (the top's) and has just been read.

/// Without labels: all images' sums go to the first row.
__global__ void __launch_bounds__(kRowThreads)
    prior_row_backward_kernel(PriorBackwardArgs b, int lanes) {
  const int c = static_cast<int>(blockIdx.x);
  RowGradient sum{0, 0};
  for (std::int64_t n = thread() / lanes; n < b.forward.grid.count; n += kRowThreads / lanes) {
    const RowGradient image = sum_of_pixels(b, n, 0, c, thread() % lanes, lanes);
    sum.mean += image.mean, sum.log_sd += image.log_sd;
  }
  const double mean = block_sum<kRowThreads>(sum.mean);
  const double log_sd = block_sum<kRowThreads>(sum.log_sd);
  if (thread() != 0) return;
  if (b.dmean) b.dmean[c] += static_cast<float>(mean);
  if (b.dlog_sd) b.dlog_sd[c] += static_cast<float>(log_sd);
}

/// With labels: images in order.
__global__ void __launch_bounds__(kRowThreads)
    prior_rows_backward_kernel(PriorBackwardArgs b, int lanes) {
  RHEO_SHARED(RowGradient, sums, [kRowThreads]);
  RHEO_SHARED(int, labels, [kRowThreads]);
  const PriorArgs& a = b.forward;
  const int c = static_cast<int>(blockIdx.x), at_once = kRowThreads / lanes;
  const int slot = thread() / lanes, lane = thread() % lanes;
  for (std::int64_t first = 0; first < a.grid.count; first += at_once) {
    const std::int64_t n = first + slot;
    int label = 0;
    RowGradient sum{0, 0};
    if (n < a.grid.count) {
      label = a.labels[n];
      sum = sum_of_pixels(b, n, label, c, lane, lanes);
    }
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
      sum.mean += __shfl_xor_sync(~0u, sum.mean, distance);
      sum.log_sd += __shfl_xor_sync(~0u, sum.log_sd, distance);
    }
    __syncthreads();  // the images before are added
    if (lane == 0) sums[slot] = sum, labels[slot] = label;
    __syncthreads();
    const std::int64_t left = a.grid.count - first;
    add_to_rows(b, sums, labels, static_cast<int>(left < at_once ? left : at_once), c);
  }
}

/// A thread makes four values of one block of the generator. An image is `blocks` thread blocks.
template <bool kVector>
__global__ void __launch_bounds__(kNoiseThreads) prior_noise_kernel(NoiseArgs a, unsigned blocks) {
  const std::int64_t n = blockIdx.x / blocks;
  const std::int64_t block = std::int64_t{blockIdx.x % blocks} * kNoiseThreads + threadIdx.x;
  const std::int64_t first = block * 4;
  if (first >= a.dims) return;
  const auto words = math::random_block(a.seed, Purpose::latents, a.first + n, block);
  const math::PriorDraws draws = math::prior_draws(a.kind, words);
  const Vector<float, 4> eps = {{a.temperature * draws.at[0], a.temperature * draws.at[1],
                                 a.temperature * draws.at[2], a.temperature * draws.at[3]}};
  float* image = a.eps + n * a.dims;
  if constexpr (kVector) {
    store_at(image, block, eps);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (first + i < a.dims) image[first + i] = eps.at[i];
  }
}

/// How many channels may be moved at once of rows that start at these.
int width_of(const PriorArgs& a, std::initializer_list<const float*> rows) {
  for (int width : {4, 2}) {
    bool fits =
        a.channels % width == 0 && a.z_stride % width == 0 && a.parameter_stride % width == 0;
    for (const float* row : rows) fits = fits && aligned(row, width);
    if (fits) return width;
  }
  return 1;
}

bool eps_aligned(const PriorArgs& a, int width) {
  return aligned(a.eps, width) && a.eps_stride % width == 0;
}

/// Launches the kernel of that width, a block a tile.
template <class Args>
void launch_tiles(void (*const (&kernels)[3])(Args, Images), int width, const Args& args,
                  const Grid& grid, Stream stream) {
  const Images images(grid);
  launch(kernels[width / 2], static_cast<unsigned>(grid.count * images.tiles), kThreads, 0, stream,
         args, images);
}

}  // namespace

void prior_noise(const NoiseArgs& a, Stream stream) {
  const unsigned blocks = blocks_of(a.dims, kNoiseThreads * 4);
  const bool vector = a.dims % 4 == 0 && aligned(a.eps, 4);
  launch(vector ? prior_noise_kernel<true> : prior_noise_kernel<false>,
         static_cast<unsigned>(a.count * blocks), kNoiseThreads, 0, stream, a, blocks);
}

void prior_log_prob(const PriorArgs& a, Stream stream) {
  const int width = width_of(a, {a.z, a.mean, a.log_sd});
  if (eps_aligned(a, width))
    launch_tiles({prior_log_prob_kernel<1, true>, prior_log_prob_kernel<2, true>,
                  prior_log_prob_kernel<4, true>},
                 width, a, a.grid, stream);
  else
    launch_tiles({prior_log_prob_kernel<1, false>, prior_log_prob_kernel<2, false>,
                  prior_log_prob_kernel<4, false>},
                 width, a, a.grid, stream);
}

void prior_sample(const PriorArgs& a, Stream stream) {
  int width = width_of(a, {a.z, a.mean, a.log_sd});
  while (!eps_aligned(a, width)) width /= 2;
  launch_tiles({prior_sample_kernel<1>, prior_sample_kernel<2>, prior_sample_kernel<4>}, width, a,
               a.grid, stream);
}

void prior_backward(const PriorBackwardArgs& b, Stream stream) {
  const PriorArgs& a = b.forward;
  int width = width_of(a, {a.z, a.mean, a.log_sd, b.dz});
  while (!a.by_label && !(aligned(b.dmean, width) && aligned(b.dlog_sd, width))) width /= 2;
  launch_tiles({prior_backward_kernel<1>, prior_backward_kernel<2>, prior_backward_kernel<4>},
               width, b, a.grid, stream);
  if (!a.by_label || a.grid.count == 0 || (!b.dmean && !b.dlog_sd)) return;
  int lanes = 1;
  while (lanes < kWarp && lanes * 2 * a.grid.count <= kRowThreads) lanes *= 2;
  launch(a.labels ? prior_rows_backward_kernel : prior_row_backward_kernel,
         static_cast<unsigned>(a.channels), kRowThreads, 0, stream, b, lanes);
}

}  // namespace rheo::cuda
