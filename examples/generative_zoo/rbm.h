#pragma once

#include "examples/generative_zoo/network.h"

namespace zoo {

/// A restricted Boltzmann machine of binary units, E(v, h) = -a^T v - b^T h - h^T W v, learned by
/// contrastive divergence (Hinton 2002).
class Rbm {
 public:
  /// Visible biases start where the units' means over `data` [N, visible] are.
  Rbm(int visible, int hidden, const Values& data, Random& random);

  std::int64_t parameter_count() const { return parameters_.size(); }

  Values hidden_given(const Values& v) const;   ///< p(h = 1 | v) [R, hidden]
  Values visible_given(const Values& h) const;  ///< p(v = 1 | h) [R, visible]
  Values gibbs(Values v, int steps, Random& random) const;

  /// CD-k on a batch: the gradient of F at the data less that after k steps of Gibbs sampling.
  /// Returns the share of units that these steps changed.
  double update(const Values& v, int k, double rate, Random& random);

  /// F(v) = -a^T v - sum_j softplus(b_j + W_j v), of each row; log p(v) = -F(v) - log Z.
  std::vector<double> free_energy(const Values& v) const;

  /// log Z by all states of the smaller side, which may have 24 units.
  double log_partition() const;

  struct Estimate {
    double value, error;  ///< Of log Z; one standard error.
  };
  /// log Z by annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008) from
  /// independent units with these biases.
  Estimate estimate_log_partition(int chains, int temperatures, Random& random) const;

 private:
  const float* weight() const { return parameters_.values.data(); }  // W [hidden, visible]
  const float* hidden_bias() const { return weight() + std::int64_t{hidden_} * visible_; }
  const float* visible_bias() const { return hidden_bias() + hidden_; }

  Values to_hidden(const Values& v) const;   // b + W v
  Values to_visible(const Values& h) const;  // a + W^T h

  /// Adds `sign` times the mean of dF over the rows.
  void add_gradient(const Values& v, float sign);

  int visible_, hidden_;
  Values base_;  // biases of independent units
  Parameters parameters_;
};

}  // namespace zoo
