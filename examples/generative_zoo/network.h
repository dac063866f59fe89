#pragma once

#include <algorithm>
#include <cmath>

#include "examples/generative_zoo/random.h"
#include "rheo/device.h"
#include "rheo/kernels.h"

namespace zoo {

/// Where all of the zoo computes: one thread, since its products are small; models are learned
/// beside one another instead.
const rheo::Device& device();

inline double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
inline double softplus(double x) {
  return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x)));
}
double log_sum_exp(const std::vector<double>& values);

/// Values to be learned in one flat buffer, their gradients, and Adam for them.
class Parameters {
 public:
  explicit Parameters(Values start);

  Values values, gradient;

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }

  /// One update against the gradient, which is then zero again.
  void update(double rate, double beta1 = 0.9, double clip_norm = 0);

 private:
  Values first_, second_;
  std::vector<double> state_;
};

/// Dense layers with ReLU between them: sizes[0] numbers in, sizes.back() out.
class Network {
 public:
  Network(std::vector<int> sizes, Random& random);

  /// y [R, out] of x [R, in]; both are valid, for `backward`, until the next call.
  const Values& forward(Values x);

  /// Adds the gradients by all weights to those there, and returns that by x, of dy [R, out].
  Values backward(Values dy);

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  struct Layer {
    int in, out;
    std::int64_t weight, bias;  // where they begin among the parameters
  };

  std::vector<Layer> layers_;
  Parameters parameters_;
  std::vector<Values> states_;  // x, then what each layer made of it
};

}  // namespace zoo
