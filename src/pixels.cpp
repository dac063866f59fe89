#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/backend.h"
#include "rheo/image.h"
#include "src/check.h"

namespace rheo {

// Both run on the CPU wherever a model computes: their input and output are the host's, and they
// cost far less than carrying it to and fro.

Tensor dequantize(const Pixels& images, int n_bits, const Noise& noise, std::int64_t first) {
  constexpr const char* kWho = "dequantize";
  return guarded(kWho, [&] {
    require(images.shape.size() == 4, kWho, ": images must be [N, H, W, C]; got ",
            to_string(images.shape));
    require(n_bits >= 1 && n_bits <= 8, kWho, ": n_bits must be 1..8; got ", n_bits);
    require(first >= 0, kWho, ": first must be at least 0; got ", first);
    const std::int64_t count = images.shape[0], values = count_values(kWho, images.shape);
    require(first <= INT64_MAX - count, kWho, ": first + N must be below 2^63; got first ", first);
    const std::int64_t dims = count ? values / count : 0;
    require(static_cast<std::int64_t>(images.data.size()) == values, kWho,
            ": images must have as many values as their shape says; got ", images.data.size());
    Tensor x{images.shape, std::vector<float>(images.data.size())};
    std::vector<std::int64_t> samples(count);
    std::iota(samples.begin(), samples.end(), first);
    cpu_backend().pixels_dequantize({.pixels = images.data.data(),
                                     .x = x.data.data(),
                                     .samples = samples.data(),
                                     .count = count,
                                     .dims = dims,
                                     .n_bits = n_bits,
                                     .centre = noise.centre,
                                     .seed = noise.seed},
                                    nullptr);
    return x;
  });
}

Pixels quantize(const Tensor& x, int n_bits) {
  constexpr const char* kWho = "quantize";
  return guarded(kWho, [&] {
    require(n_bits >= 1 && n_bits <= 8, kWho, ": n_bits must be 1..8; got ", n_bits);
    require(static_cast<std::int64_t>(x.data.size()) == count_values(kWho, x.shape), kWho,
            ": x must have as many values as its shape says; got ", x.data.size());
    for (std::size_t i = 0; i < x.data.size(); ++i)
      if (!std::isfinite(x.data[i]))
        fail(Errc::diverged, kWho, ": value ", i, " is ",
             std::isnan(x.data[i]) ? "NaN" : "infinite", ", no pixel");
    Pixels pixels{x.shape, std::vector<std::uint8_t>(x.data.size())};
    cpu_backend().pixels_quantize({.x = x.data.data(),
                                   .pixels = pixels.data.data(),
                                   .size = static_cast<std::int64_t>(x.data.size()),
                                   .n_bits = n_bits},
                                  nullptr);
    return pixels;
  });
}

double bits_per_dim(double log_prob, std::int64_t dims, int n_bits) {
  require(dims > 0, "bits_per_dim: dims must be positive; got ", dims);
  return n_bits - log_prob / (static_cast<double>(dims) * std::numbers::ln2);
}

}  // namespace rheo
