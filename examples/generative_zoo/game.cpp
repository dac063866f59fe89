#include "examples/generative_zoo/game.h"

#include <algorithm>
#include <cmath>

namespace zoo {
namespace {

constexpr double kBeta1 = 0.5;  // Adam's: a game's gradients turn, and momentum would overshoot
constexpr double kClip = 10;
constexpr float kFollow = 0.005f;  // of the average

}  // namespace

Critic::Critic(const Divergence& divergence, int dims, int hidden, Random& random)
    : divergence_(divergence), network_({dims, hidden, hidden, 1}, random) {}

double Critic::bound(const Values& real, const Values& fake) {
  double of_real = 0, of_fake = 0;
  const Values v = network_.forward(real);
  for (const float value : v) of_real += divergence_.activation(double(value));
  const Values w = network_.forward(fake);
  for (const float value : w) of_fake += divergence_.conjugate(double(value));
  return of_real / double(v.size()) - of_fake / double(w.size());
}

double Critic::update(const Values& real, const Values& fake, double rate) {
  const Divergence& d = divergence_;
  double of_real = 0, of_fake = 0;
  Values v = network_.forward(real);
  const double share = 1. / double(v.size());
  for (float& value : v) {
    of_real += share * d.activation(double(value));
    value = static_cast<float>(-share * d.activation_slope(double(value)));
  }
  network_.backward(std::move(v));
  v = network_.forward(fake);
  for (float& value : v) {
    of_fake += share * d.conjugate(double(value));
    value = static_cast<float>(share * d.conjugate_slope(double(value)));
  }
  network_.backward(std::move(v));
  parameters().update(rate, kBeta1, kClip);
  return of_real - of_fake;
}

Values Critic::slope_of_fake(const Values& fake) {
  Values v = network_.forward(fake);
  const double share = 1. / double(v.size());
  for (float& value : v)
    value = static_cast<float>(-share * divergence_.activation_slope(double(value)));
  Values slope = network_.backward(std::move(v));
  std::fill(parameters().gradient.begin(), parameters().gradient.end(), 0.f);
  return slope;
}

Game::Game(const Divergence& divergence, const GameShape& shape, Random& random)
    : shape_(shape),
      critic_(divergence, shape.dims, shape.hidden, random),
      generator_({shape.latent, shape.hidden, shape.hidden, shape.dims}, random),
      average_(generator_) {}

Values Game::generate(Network& generator, std::int64_t count, Random& random) {
  Values x = generator.forward(random.normal(count * shape_.latent));
  if (shape_.bounded)
    for (float& value : x) value = std::tanh(value);
  return x;
}

double Game::update(const Values& real, double rate, Random& random) {
  const std::int64_t rows = static_cast<std::int64_t>(real.size()) / shape_.dims;
  const Values fake = generate(generator_, rows, random);
  const double bound = critic_.update(real, fake, rate);
  Values slope = critic_.slope_of_fake(fake);
  if (shape_.bounded)
    for (std::size_t i = 0; i < slope.size(); ++i) slope[i] *= 1 - fake[i] * fake[i];
  generator_.backward(std::move(slope));
  generator_.parameters().update(rate, kBeta1, kClip);
  Values &average = average_.parameters().values, &newest = generator_.parameters().values;
  for (std::size_t i = 0; i < average.size(); ++i) average[i] += kFollow * (newest[i] - average[i]);
  return bound;
}

std::int64_t Game::parameter_count() {
  return generator_.parameters().size() + critic_.parameters().size();
}

Values Game::sample(std::int64_t count, Random& random) {
  return generate(average_, count, random);
}

}  // namespace zoo
