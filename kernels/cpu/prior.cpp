#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// f(z, parameter, eps): offsets of value c of pixel p (in the image) of a tile.
template <class F>
void for_each_value(const PriorArgs& a, const Tile& tile, const F& f) {
  const std::int64_t first = tile.row(a.grid);
  const std::int64_t label_row = a.by_label && a.labels ? a.labels[tile.image] : 0;
  for (int p = 0; p < tile.count; ++p) {
    const std::int64_t row = a.by_label ? label_row : first + p;
    const std::int64_t eps = tile.image * a.eps_stride + (tile.first + p) * a.channels;
    for (int c = 0; c < a.channels; ++c)
      f((first + p) * a.z_stride + c, row * a.parameter_stride + c, eps + c);
  }
}

math::PriorGradient gradient(const PriorArgs& a, std::int64_t z, std::int64_t parameter,
                             float dlog_prob) {
  return math::prior_gradient(a.kind, a.z[z], a.mean[parameter], a.log_sd[parameter], a.bounded,
                              dlog_prob);
}

/// Gradients of the rows by label: a channel at a time, images in order.
void backward_by_label(const PriorBackwardArgs& b) {
  const PriorArgs& a = b.forward;
  const std::int64_t pixels = a.grid.image_pixels();
  parallel_for(a.channels, a.grid.pixels() * a.channels * kPerFlowValue, [&](std::int64_t c) {
    for (std::int64_t n = 0; n < a.grid.count; ++n) {
      const std::int64_t parameter = (a.labels ? a.labels[n] : 0) * a.parameter_stride + c;
      double dmean = 0, dlog_sd = 0;
      for (std::int64_t p = n * pixels; p < (n + 1) * pixels; ++p) {
        const math::PriorGradient g = gradient(a, p * a.z_stride + c, parameter, b.dlog_prob[n]);
        b.dz[p * a.z_stride + c] = g.dz;
        dmean -= static_cast<double>(g.dz);
        dlog_sd += static_cast<double>(g.dlog_sd);
      }
      if (b.dmean) b.dmean[parameter] += static_cast<float>(dmean);
      if (b.dlog_sd) b.dlog_sd[parameter] += static_cast<float>(dlog_sd);
    }
  });
}

}  // namespace

void prior_noise(const NoiseArgs& a, Stream) {
  parallel_for(a.count, a.count * a.dims * kPerFlowValue, [&](std::int64_t n) {
    float* eps = a.eps + n * a.dims;
    for (std::int64_t i = 0; i < a.dims; i += 4) {
      const auto words = math::random_block(a.seed, Purpose::latents, a.first + n, i / 4);
      const math::PriorDraws draws = math::prior_draws(a.kind, words);
      for (int k = 0; k < 4 && i + k < a.dims; ++k) eps[i + k] = a.temperature * draws.at[k];
    }
  });
}

void prior_log_prob(const PriorArgs& a, Stream) {
  for_each_tile(a.grid, a.channels, [&](const Tile& tile) {
    double log_prob = 0;
    for_each_value(a, tile, [&](std::int64_t z, std::int64_t parameter, std::int64_t eps) {
      const math::Whitened w =
          math::whiten(a.z[z], a.mean[parameter], a.log_sd[parameter], a.bounded);
      if (a.eps) a.eps[eps] = w.eps;
      log_prob += static_cast<double>(math::prior_log_prob(a.kind, w.eps, w.log_sd));
    });
    if (a.log_prob.data)
      a.log_prob.data[tile.image * a.log_prob.stride + tile.index] = static_cast<float>(log_prob);
  });
}

void prior_sample(const PriorArgs& a, Stream) {
  for_each_tile(a.grid, a.channels, [&](const Tile& tile) {
    for_each_value(a, tile, [&](std::int64_t z, std::int64_t parameter, std::int64_t eps) {
      a.z[z] = math::colour(a.eps[eps], a.mean[parameter], a.log_sd[parameter], a.bounded);
    });
  });
}

void prior_backward(const PriorBackwardArgs& b, Stream) {
  if (b.forward.by_label && (b.dmean || b.dlog_sd)) return backward_by_label(b);
  for_each_tile(b.forward.grid, b.forward.channels, [&](const Tile& tile) {
    for_each_value(b.forward, tile, [&](std::int64_t z, std::int64_t parameter, std::int64_t) {
      const math::PriorGradient g = gradient(b.forward, z, parameter, b.dlog_prob[tile.image]);
      b.dz[z] = g.dz;
      if (b.dmean) b.dmean[parameter] = -g.dz;
      if (b.dlog_sd) b.dlog_sd[parameter] = g.dlog_sd;
    });
  });
}

}  // namespace rheo::cpu::RHEO_ISA
