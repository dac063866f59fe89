#include "examples/generative_zoo/vae.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zoo {
namespace {

constexpr double kTrials = 16;
const double kLog2Pi = std::log(2 * std::numbers::pi);

/// A decoder that could say a variance of nothing would be certain of single points.
double bounded(double log_variance) {
  return std::max(log_variance, -8.);
}

double log_binomial(double x) {
  return std::lgamma(kTrials + 1) - std::lgamma(x + 1) - std::lgamma(kTrials - x + 1);
}

/// 1/2 sum (mu^2 + sigma^2 - 1 - log sigma^2) of one row of codes.
double divergence_to_prior(const float* code, int latent) {
  double sum = 0;
  for (int i = 0; i < latent; ++i) {
    const double mu = double(code[i]), log_variance = double(code[latent + i]);
    sum += 0.5 * (mu * mu + std::exp(log_variance) - 1 - log_variance);
  }
  return sum;
}

}  // namespace

Vae::Vae(int dims, int latent, int hidden, Decoder decoder, Random& random)
    : dims_(dims),
      latent_(latent),
      decoder_(decoder),
      encode_({dims, hidden, hidden, 2 * latent}, random),
      decode_({latent, hidden, hidden, outputs()}, random) {
  if (decoder != Decoder::gaussian) return;
  // A decoder that starts out with a small variance finds a use for z; one that starts with the
  // data's own learns to do without it first.
  Values& start = decode_.parameters().values;
  std::fill(start.end() - dims, start.end(), -4.f);
}

std::int64_t Vae::parameter_count() {
  return encode_.parameters().size() + decode_.parameters().size();
}

Vae::Draw Vae::encode(const Values& x, Random& random) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / dims_;
  Values input = x;
  if (decoder_ == Decoder::binomial)  // 0..16 to a size that networks like
    for (float& value : input) value = value / 8 - 1;
  Draw draw{encode_.forward(std::move(input)), random.normal(rows * latent_), {}};
  for (std::int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < latent_; ++i) {
      const float mu = draw.code[r * 2 * latent_ + i];
      const float sigma = std::exp(draw.code[r * 2 * latent_ + latent_ + i] / 2);
      draw.z.push_back(mu + sigma * draw.eps[r * latent_ + i]);
    }
  return draw;
}

double Vae::log_likelihood(const float* x, const float* y) const {
  double sum = 0;
  for (int i = 0; i < dims_; ++i) {
    const double value = double(x[i]), out = double(y[i]);
    if (decoder_ == Decoder::gaussian) {
      const double log_variance = bounded(double(y[dims_ + i]));
      sum -= 0.5 * (kLog2Pi + log_variance + std::pow(value - out, 2) / std::exp(log_variance));
    } else {
      sum += log_binomial(value) + value * out - kTrials * softplus(out);
    }
  }
  return sum;
}

double Vae::update(const Values& x, double rate, Random& random) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / dims_;
  const double share = 1. / double(rows);
  const Draw draw = encode(x, random);
  const Values& y = decode_.forward(draw.z);
  Values dy(y.size());  // of minus the bound, as all gradients here
  double sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float *from = x.data() + r * dims_, *out = y.data() + r * outputs();
    float* slope = dy.data() + r * outputs();
    sum += log_likelihood(from, out) - divergence_to_prior(&draw.code[r * 2 * latent_], latent_);
    for (int i = 0; i < dims_; ++i) {
      const double value = double(from[i]), mean = double(out[i]);
      if (decoder_ == Decoder::binomial) {
        slope[i] = static_cast<float>(share * (kTrials * sigmoid(mean) - value));
        continue;
      }
      const double given = double(out[dims_ + i]), precision = std::exp(-bounded(given));
      slope[i] = static_cast<float>(share * (mean - value) * precision);
      if (bounded(given) == given)
        slope[dims_ + i] =
            static_cast<float>(share * 0.5 * (1 - std::pow(value - mean, 2) * precision));
    }
  }
  const Values dz = decode_.backward(std::move(dy));
  Values dcode(draw.code.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < latent_; ++i) {
      const std::int64_t mu = r * 2 * latent_ + i, variance = mu + latent_, z = r * latent_ + i;
      const double sigma = std::exp(double(draw.code[variance]) / 2);
      dcode[mu] = dz[z] + static_cast<float>(share * double(draw.code[mu]));
      dcode[variance] = static_cast<float>(
          0.5 * (double(dz[z]) * double(draw.eps[z]) * sigma + share * (sigma * sigma - 1)));
    }
  encode_.backward(std::move(dcode));
  for (Network* network : {&encode_, &decode_}) network->parameters().update(rate, 0.9, 100);
  return sum * share;
}

std::vector<double> Vae::bound(const Values& x, Random& random) {
  const Draw draw = encode(x, random);
  const Values& y = decode_.forward(draw.z);
  std::vector<double> bounds;
  for (std::size_t r = 0; r < x.size() / dims_; ++r)
    bounds.push_back(log_likelihood(&x[r * dims_], &y[r * outputs()]) -
                     divergence_to_prior(&draw.code[r * 2 * latent_], latent_));
  return bounds;
}

std::vector<double> Vae::log_prob(const Values& x, int draws, Random& random) {
  const std::size_t rows = x.size() / dims_;
  std::vector<std::vector<double>> weights(rows);
  for (int k = 0; k < draws; ++k) {
    const Draw draw = encode(x, random);
    const Values& y = decode_.forward(draw.z);
    for (std::size_t r = 0; r < rows; ++r) {
      double weight = log_likelihood(&x[r * dims_], &y[r * outputs()]);
      for (int i = 0; i < latent_; ++i) {  // log p(z) - log q(z | x)
        const double z = double(draw.z[r * latent_ + i]), eps = double(draw.eps[r * latent_ + i]);
        weight += 0.5 * (eps * eps - z * z + double(draw.code[r * 2 * latent_ + latent_ + i]));
      }
      weights[r].push_back(weight);
    }
  }
  std::vector<double> values;
  for (const auto& one : weights) values.push_back(log_sum_exp(one) - std::log(double(draws)));
  return values;
}

Values Vae::drawn(const Values& y, bool noise, Random& random) const {
  const std::int64_t rows = static_cast<std::int64_t>(y.size()) / outputs();
  Values x(rows * dims_);
  if (decoder_ == Decoder::gaussian) {
    const Values eps = random.normal(rows * dims_);
    for (std::int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < dims_; ++i) {
        const double sigma = std::exp(bounded(double(y[r * outputs() + dims_ + i])) / 2);
        x[r * dims_ + i] = y[r * outputs() + i] +
                           (noise ? static_cast<float>(sigma * double(eps[r * dims_ + i])) : 0.f);
      }
    return x;
  }
  Values p = y;
  for (float& value : p) value = static_cast<float>(sigmoid(double(value)));
  if (!noise) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(kTrials) * p[i];
    return x;
  }
  for (int trial = 0; trial < static_cast<int>(kTrials); ++trial) {
    const Values success = random.bernoulli(p);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += success[i];
  }
  return x;
}

Values Vae::sample(std::int64_t count, Random& random) {
  return drawn(decode_.forward(random.normal(count * latent_)), true, random);
}

Values Vae::means(std::int64_t count, Random& random) {
  return drawn(decode_.forward(random.normal(count * latent_)), false, random);
}

Values Vae::chain(Values x, int rounds, Random& random) {
  for (int round = 0; round < rounds; ++round)
    x = drawn(decode_.forward(encode(x, random).z), true, random);
  return x;
}

}  // namespace zoo
