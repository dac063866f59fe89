#pragma once

#include "examples/generative_zoo/network.h"

namespace zoo {

/// What a decoder's numbers say of x.
enum class Decoder {
  gaussian,  ///< Mean and log variance of each number.
  binomial,  ///< Log odds p of each number, one of 0..16: how many of 16 trials succeed.
};

/// A variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114): z of a Gaussian with a
/// diagonal variance, z = mu + sigma eps, and log p(x) >= E log p(x | z) - KL(q(z | x) || N(0, I)).
class Vae {
 public:
  Vae(int dims, int latent, int hidden, Decoder decoder, Random& random);

  /// One update on a batch [R, dims]. Returns the mean evidence bound before it, in nats.
  double update(const Values& x, double rate, Random& random);

  /// The evidence bound of each row, of one draw of z.
  std::vector<double> bound(const Values& x, Random& random);

  /// log p(x) of each row by importance sampling: log mean p(x | z) p(z) / q(z | x) over `draws`.
  /// Its mean is between the evidence bound and the truth (Burda et al. 2016, arXiv:1509.00519).
  std::vector<double> log_prob(const Values& x, int draws, Random& random);

  Values sample(std::int64_t count, Random& random);  ///< [count, dims]
  Values means(std::int64_t count, Random& random);   ///< What p(x | z) expects, of samples z.

  /// The sampling dynamics: x is encoded, z drawn, decoded to a new x, `rounds` times.
  Values chain(Values x, int rounds, Random& random);

  std::int64_t parameter_count();

 private:
  struct Draw {
    Values code, eps, z;  // code: mu, log sigma^2
  };

  int outputs() const { return decoder_ == Decoder::gaussian ? 2 * dims_ : dims_; }
  Draw encode(const Values& x, Random& random);
  double log_likelihood(const float* x, const float* y) const;  // of one row
  Values drawn(const Values& y, bool noise, Random& random) const;

  int dims_, latent_;
  Decoder decoder_;
  Network encode_, decode_;
};

}  // namespace zoo
