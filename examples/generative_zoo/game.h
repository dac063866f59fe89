#pragma once

#include "examples/generative_zoo/divergence.h"
#include "examples/generative_zoo/network.h"

namespace zoo {

/// A network v(x) that bounds a divergence from below: E_p T - E_q f*(T), T = activation(v).
class Critic {
 public:
  Critic(const Divergence& divergence, int dims, int hidden, Random& random);

  /// One update towards a higher bound. Returns the bound of this batch before it.
  double update(const Values& real, const Values& fake, double rate);

  double bound(const Values& real, const Values& fake);
  Values output(const Values& x) { return network_.forward(x); }  ///< v

  /// The gradient by fake points of -E T, which a generator lowers in place of -E f*(T): the same
  /// resting point, but a slope also where all fake points are found out (Goodfellow et al. 2014,
  /// section 3; Nowozin et al. 2016, section 3.2).
  Values slope_of_fake(const Values& fake);

  Parameters& parameters() { return network_.parameters(); }

 private:
  const Divergence& divergence_;
  Network network_;
};

struct GameShape {
  int dims, latent, hidden;
  bool bounded;  ///< A tanh on what the generator makes.
};

/// A generator against a critic.
class Game {
 public:
  Game(const Divergence& divergence, const GameShape& shape, Random& random);

  /// One update of each on a batch of data. Returns the critic's bound before it.
  double update(const Values& real, double rate, Random& random);

  /// Of the generator's weights averaged over its last updates, which circle what they look for.
  Values sample(std::int64_t count, Random& random);

  Critic& critic() { return critic_; }
  std::int64_t parameter_count();  ///< Of both.

 private:
  Values generate(Network& generator, std::int64_t count, Random& random);

  GameShape shape_;
  Critic critic_;
  Network generator_, average_;
};

}  // namespace zoo
