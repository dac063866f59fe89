#include "examples/generative_zoo/network.h"

#include <algorithm>
#include <cmath>

namespace zoo {

const rheo::Device& device() {
  static const rheo::Device cpu = rheo::Device::cpu(1);
  return cpu;
}

double log_sum_exp(const std::vector<double>& values) {
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

Parameters::Parameters(Values start)
    : values(std::move(start)),
      gradient(values.size()),
      first_(values.size()),
      second_(values.size()),
      state_(rheo::adam_state_bytes() / sizeof(double)) {}

void Parameters::update(double rate, double beta1, double clip_norm) {
  rheo::adam_update(device(),
                    {.size = size(),
                     .gradient = gradient.data(),
                     .parameters = values.data(),
                     .first = first_.data(),
                     .second = second_.data(),
                     .state = state_.data(),
                     .learning_rate = rate,
                     .beta1 = beta1,
                     .clip_norm = clip_norm},
                    nullptr);
  std::fill(gradient.begin(), gradient.end(), 0.f);
}

namespace {

/// Weights so large that ReLU keeps the size of what passes (He et al. 2015); biases zero.
Values start_of(const std::vector<int>& sizes, Random& random) {
  Values start;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const double gain = i + 2 < sizes.size() ? 2 : 1;
    const auto scale = static_cast<float>(std::sqrt(gain / sizes[i]));
    for (const float value : random.normal(std::int64_t{sizes[i]} * sizes[i + 1]))
      start.push_back(scale * value);
    start.resize(start.size() + sizes[i + 1]);
  }
  return start;
}

}  // namespace

Network::Network(std::vector<int> sizes, Random& random) : parameters_(start_of(sizes, random)) {
  std::int64_t at = 0;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const int in = sizes[i], out = sizes[i + 1];
    layers_.push_back({in, out, at, at + std::int64_t{in} * out});
    at += std::int64_t{in + 1} * out;
  }
}

const Values& Network::forward(Values x) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / layers_.front().in;
  states_.assign(1, std::move(x));
  for (const Layer& layer : layers_) {
    Values y(rows * layer.out);
    rheo::linear_forward(device(),
                         {.rows = rows,
                          .in = layer.in,
                          .out = layer.out,
                          .x = states_.back().data(),
                          .weight = parameters_.values.data() + layer.weight,
                          .y = y.data(),
                          .bias = parameters_.values.data() + layer.bias,
                          .relu = &layer != &layers_.back()},
                         nullptr);
    states_.push_back(std::move(y));
  }
  return states_.back();
}

Values Network::backward(Values dy) {
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const auto [in, out, weight, bias] = layers_[i];
    const std::int64_t rows = static_cast<std::int64_t>(dy.size()) / out;
    const float* x = states_[i].data();
    rheo::linear_backward_weights(device(),
                                  {.rows = rows,
                                   .in = in,
                                   .out = out,
                                   .dy = dy.data(),
                                   .x = x,
                                   .dweight = parameters_.gradient.data() + weight,
                                   .dbias = parameters_.gradient.data() + bias},
                                  nullptr);
    Values dx(rows * in);
    rheo::linear_backward_data(device(),
                               {.rows = rows,
                                .in = in,
                                .out = out,
                                .dy = dy.data(),
                                .weight = parameters_.values.data() + weight,
                                .dx = dx.data(),
                                .x = i > 0 ? x : nullptr},
                               nullptr);
    dy = std::move(dx);
  }
  return dy;
}

}  // namespace zoo
