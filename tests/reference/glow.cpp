#include "tests/reference/glow.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace rheo::reference {

namespace {

double sum(const Values& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::string step_name(int level, int step) {
  return "levels." + std::to_string(level) + ".steps." + std::to_string(step) + ".";
}

std::string split_name(int level) {
  return "levels." + std::to_string(level) + ".split";
}

}  // namespace

Glow::Glow(const ModelConfig& config, Parameters parameters)
    : config_(config), parameters_(std::move(parameters)) {}

// The raw sum, edge included: taps outside the image read `edge` in place of weight times pixel.
Image Glow::conv3x3(const Image& x, const std::string& name) const {
  const Values& weight = parameter(name + ".weight");
  const int out = static_cast<int>(parameter(name + ".bias").size());
  Image y(x.height, x.width, out);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j)
      for (int o = 0; o < out; ++o)
        for (int tap = 0; tap < 9; ++tap) {
          const int row = i + tap / 3 - 1;
          const int column = j + tap % 3 - 1;
          if (row < 0 || row >= x.height || column < 0 || column >= x.width) {
            if (config_.edge_bias) y.at(i, j, o) += parameter(name + ".edge")[9 * o + tap];
            continue;
          }
          for (int c = 0; c < x.channels; ++c)
            y.at(i, j, o) += weight[(9 * o + tap) * x.channels + c] * x.at(row, column, c);
        }
  return y;
}

Image Glow::conv1x1(const Image& x, const std::string& name) const {
  const Values& weight = parameter(name + ".weight");
  Image y(x.height, x.width, x.channels);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j)
      for (int o = 0; o < y.channels; ++o)
        for (int c = 0; c < x.channels; ++c)
          y.at(i, j, o) += weight[o * x.channels + c] * x.at(i, j, c);
  return y;
}

void Glow::add_bias_and_scale(Image& x, const std::string& name, double factor) const {
  const Values& bias = parameter(name + ".bias");
  const Values& scale = parameter(name + ".log_scale");
  for (std::size_t k = 0; k < x.values.size(); ++k) {
    const std::size_t c = k % x.channels;
    x.values[k] = (x.values[k] + bias[c]) * std::exp(factor * scale[c]);
  }
}

Image Glow::network(const Image& a, const std::string& name) const {
  Image h = conv3x3(a, name + "conv1");
  add_bias_and_scale(h, name + "conv1", 1);
  relu(h);
  h = conv1x1(h, name + "conv2");
  add_bias_and_scale(h, name + "conv2", 1);
  relu(h);
  h = conv3x3(h, name + "conv3");
  add_bias_and_scale(h, name + "conv3", 3);
  return h;
}

double Glow::actnorm(Image& x, const std::string& name) const {
  add_bias_and_scale(x, name, 1);
  return x.height * x.width * sum(parameter(name + ".log_scale"));
}

void Glow::undo_actnorm(Image& x, const std::string& name) const {
  const Values& bias = parameter(name + ".bias");
  const Values& scale = parameter(name + ".log_scale");
  for (std::size_t k = 0; k < x.values.size(); ++k)
    x.values[k] = x.values[k] / std::exp(scale[k % x.channels]) - bias[k % x.channels];
}

// y = Perm L U x, one factor after the other.
double Glow::invconv(Image& x, const std::string& name) const {
  const Values& lower = parameter(name + ".lower");
  const Values& upper = parameter(name + ".upper");
  const Values& diagonal = parameter(name + ".log_diagonal");
  const Values& sign = parameter(name + ".sign");
  const Values& permutation = parameter(name + ".permutation");
  const int many = x.channels;
  Values u(many), v(many);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j) {
      for (int r = 0; r < many; ++r) {
        u[r] = sign[r] * std::exp(diagonal[r]) * x.at(i, j, r);
        for (int c = r + 1; c < many; ++c) u[r] += upper[r * many + c] * x.at(i, j, c);
      }
      for (int r = 0; r < many; ++r) {
        v[r] = u[r];
        for (int c = 0; c < r; ++c) v[r] += lower[r * many + c] * u[c];
      }
      for (int r = 0; r < many; ++r) x.at(i, j, r) = v[static_cast<int>(permutation[r])];
    }
  return x.height * x.width * sum(diagonal);
}

void Glow::undo_invconv(Image& x, const std::string& name) const {
  const Values& lower = parameter(name + ".lower");
  const Values& upper = parameter(name + ".upper");
  const Values& diagonal = parameter(name + ".log_diagonal");
  const Values& sign = parameter(name + ".sign");
  const Values& permutation = parameter(name + ".permutation");
  const int many = x.channels;
  Values v(many);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j) {
      for (int r = 0; r < many; ++r) v[static_cast<int>(permutation[r])] = x.at(i, j, r);
      for (int r = 0; r < many; ++r)
        for (int c = 0; c < r; ++c) v[r] -= lower[r * many + c] * v[c];
      for (int r = many - 1; r >= 0; --r) {
        for (int c = r + 1; c < many; ++c) v[r] -= upper[r * many + c] * v[c];
        v[r] /= sign[r] * std::exp(diagonal[r]);
      }
      for (int r = 0; r < many; ++r) x.at(i, j, r) = v[r];
    }
}

double Glow::log_scale(double raw) const {
  if (config_.scale == Scale::bounded) return 4 / std::numbers::pi * std::atan(raw);
  const double a = raw + 2;  // log sigmoid(a), with exp only ever of a value <= 0
  return std::min(a, 0.0) - std::log1p(std::exp(-std::abs(a)));
}

double Glow::coupling(Image& x, const std::string& name) const {
  const Image a = first_half(x), r = network(a, name);
  Image b = second_half(x);
  double log_det = 0;
  for (int i = 0; i < b.height; ++i)
    for (int j = 0; j < b.width; ++j)
      for (int c = 0; c < b.channels; ++c) {
        b.at(i, j, c) += r.at(i, j, c);
        if (config_.coupling == Coupling::additive) continue;
        const double log_s = log_scale(r.at(i, j, b.channels + c));
        b.at(i, j, c) *= std::exp(log_s);
        log_det += log_s;
      }
  x = join(a, b);
  return log_det;
}

void Glow::undo_coupling(Image& x, const std::string& name) const {
  const Image a = first_half(x), r = network(a, name);
  Image b = second_half(x);
  for (int i = 0; i < b.height; ++i)
    for (int j = 0; j < b.width; ++j)
      for (int c = 0; c < b.channels; ++c) {
        if (config_.coupling == Coupling::affine)
          b.at(i, j, c) /= std::exp(log_scale(r.at(i, j, b.channels + c)));
        b.at(i, j, c) -= r.at(i, j, c);
      }
  x = join(a, b);
}

void Glow::bound(Image& log_sd) const {
  if (config_.scale != Scale::bounded) return;
  for (double& value : log_sd.values) value = 4 * std::tanh(value / 4);
}

Glow::Gaussian Glow::split_prior(const Image& a, const std::string& name) const {
  Image m = conv3x3(a, name);
  add_bias_and_scale(m, name, 3);
  Gaussian prior{first_half(m), second_half(m)};
  bound(prior.log_sd);
  return prior;
}

Glow::Gaussian Glow::top_prior(const Image& like, int label) const {
  Gaussian prior{like, like};
  for (std::size_t k = 0; k < like.values.size(); ++k) {
    const std::size_t entry = label * like.channels + k % like.channels;
    prior.mean.values[k] = parameter("prior.mean")[entry];
    prior.log_sd.values[k] = parameter("prior.log_sd")[entry];
  }
  bound(prior.log_sd);
  return prior;
}

Glow::Encoded Glow::encode_one(Image x, int label) const {
  Encoded done;
  const auto leave = [&](const Image& z, const Gaussian& prior) {
    for (std::size_t k = 0; k < z.values.size(); ++k) {
      const double log_sd = prior.log_sd.values[k];
      const double eps = (z.values[k] - prior.mean.values[k]) / std::exp(log_sd);
      done.log_prob -= 0.5 * std::log(2 * std::numbers::pi) + log_sd + 0.5 * eps * eps;
      done.latents.push_back(eps);
    }
  };
  for (int level = 0; level < config_.levels; ++level) {
    x = squeeze(x);
    for (int step = 0; step < config_.steps; ++step) {
      done.log_prob += actnorm(x, step_name(level, step) + "actnorm");
      done.log_prob += invconv(x, step_name(level, step) + "invconv");
      done.log_prob += coupling(x, step_name(level, step) + "coupling.");
    }
    if (level + 1 == config_.levels) break;
    const Image a = first_half(x);
    leave(second_half(x), split_prior(a, split_name(level)));
    x = a;
  }
  leave(x, top_prior(x, label));
  return done;
}

Image Glow::decode_one(const double* latents, int label) const {
  const double* next = latents + config_.dims();  // the top lies last, level 0 first
  const auto enter = [&](const Gaussian& prior) {
    Image z = prior.mean;
    next -= z.values.size();
    for (std::size_t k = 0; k < z.values.size(); ++k)
      z.values[k] += next[k] * std::exp(prior.log_sd.values[k]);
    return z;
  };
  const int top = 1 << config_.levels;
  const Image like(config_.height / top, config_.width / top, config_.channels * 2 * top);
  Image x = enter(top_prior(like, label));
  for (int level = config_.levels - 1; level >= 0; --level) {
    if (level + 1 < config_.levels) x = join(x, enter(split_prior(x, split_name(level))));
    for (int step = config_.steps - 1; step >= 0; --step) {
      undo_coupling(x, step_name(level, step) + "coupling.");
      undo_invconv(x, step_name(level, step) + "invconv");
      undo_actnorm(x, step_name(level, step) + "actnorm");
    }
    x = unsqueeze(x);
  }
  return x;
}

Image Glow::image(const Values& x, std::size_t n) const {
  Image one(config_.height, config_.width, config_.channels);
  std::copy_n(x.begin() + n * config_.dims(), config_.dims(), one.values.begin());
  return one;
}

int Glow::label_of(const std::vector<int>& labels, std::size_t n) const {
  if (config_.classes == 0) return 0;
  const int label = labels.at(n);
  if (label < 0 || label >= config_.classes) throw std::out_of_range("label");
  return label;
}

Values Glow::log_prob(const Values& x, const std::vector<int>& labels) const {
  Values result;
  for (std::size_t n = 0; n < count(x); ++n) {
    if (config_.classes == 0 || !labels.empty()) {
      result.push_back(encode_one(image(x, n), label_of(labels, n)).log_prob);
      continue;
    }
    Values of_class;
    for (int y = 0; y < config_.classes; ++y)
      of_class.push_back(encode_one(image(x, n), y).log_prob);
    const double largest = *std::max_element(of_class.begin(), of_class.end());
    double total = 0;
    for (double value : of_class) total += std::exp(value - largest);
    result.push_back(largest + std::log(total / config_.classes));
  }
  return result;
}

Values Glow::encode(const Values& x, const std::vector<int>& labels) const {
  Values result;
  for (std::size_t n = 0; n < count(x); ++n) {
    const Values latents = encode_one(image(x, n), label_of(labels, n)).latents;
    result.insert(result.end(), latents.begin(), latents.end());
  }
  return result;
}

Values Glow::decode(const Values& latents, const std::vector<int>& labels) const {
  Values result;
  for (std::size_t n = 0; n < count(latents); ++n) {
    const Image x = decode_one(&latents[n * config_.dims()], label_of(labels, n));
    result.insert(result.end(), x.values.begin(), x.values.end());
  }
  return result;
}

}  // namespace rheo::reference
