// The generative zoo's formulas against numerical integration, and that each model learns the
// moons.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "examples/generative_zoo/flow.h"
#include "examples/generative_zoo/play.h"
#include "examples/generative_zoo/rbm.h"
#include "examples/generative_zoo/study.h"
#include "examples/generative_zoo/vae.h"
#include "rheo/rheo.h"

namespace zoo {
namespace {

/// Where u activation(v) - conjugate(v) is largest: what a critic best says where p / q = u.
double best_critic(const Divergence& d, double u) {
  double low = -800, high = 800;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (d.conjugate_slope(middle) < u * d.activation_slope(middle) ? low : high) = middle;
  }
  return (low + high) / 2;
}

double slope(double (*f)(double), double x) {
  const double step = 1e-5 * (1 + std::abs(x));
  return (f(x + step) - f(x - step)) / (2 * step);
}

TEST(ZooDivergenceTest, ThereAreSixThatVanishWhereDensitiesAgree) {
  ASSERT_EQ(divergences().size(), 6u);
  for (const Divergence& d : divergences()) {
    SCOPED_TRACE(d.name);
    EXPECT_NEAR(d.f(1), std::string(d.name) == "gan" ? -std::log(4) : 0, 1e-15);
    EXPECT_EQ(&divergence(d.name), &d);
  }
  EXPECT_THROW(divergence("none"), std::out_of_range);
}

TEST(ZooDivergenceTest, AConjugateIsTheSupremumOfWhatItIsDefinedBy) {
  for (const Divergence& d : divergences())
    for (const double v : {-3., -1.5, -0.4, 0., 0.3, 0.9, 1.6}) {
      SCOPED_TRACE(std::string(d.name) + " at " + std::to_string(v));
      const double t = d.activation(v);
      double most = -1e300;
      for (int i = -120'000; i <= 120'000; ++i) {  // u from e^-12 to e^12
        const double u = std::exp(i * 1e-4);
        most = std::max(most, u * t - d.f(u));
      }
      // The grid misses the top by a 1e-4 of u, which is of second order; it ends at e^-12.
      EXPECT_NEAR(d.conjugate(v), most, 1e-4);
    }
}

TEST(ZooDivergenceTest, SlopesAreThoseOfTheirFunctions) {
  for (const Divergence& d : divergences())
    for (const double v : {-2.5, -1., 0., 0.7, 2.}) {
      SCOPED_TRACE(std::string(d.name) + " at " + std::to_string(v));
      EXPECT_NEAR(d.activation_slope(v), slope(d.activation, v), 1e-7 * (1 + std::exp(-v)));
      EXPECT_NEAR(d.conjugate_slope(v), slope(d.conjugate, v), 1e-6 * (1 + d.conjugate_slope(v)));
    }
}

TEST(ZooDivergenceTest, WhatACriticLearnsFromIsFiniteInFloat32) {
  for (const Divergence& d : divergences())
    for (double v = -60; v <= 60; v += 0.5)
      for (const auto f : {d.activation, d.activation_slope, d.conjugate, d.conjugate_slope})
        EXPECT_TRUE(std::isfinite(static_cast<float>(f(v)))) << d.name << " at " << v;
}

TEST(ZooDivergenceTest, TheBestCriticReachesTheDivergenceAndNoOtherDoes) {
  for (const Divergence& d : divergences()) {
    SCOPED_TRACE(d.name);
    const auto best = [&](double x) { return best_critic(d, line_p(x) / line_q(x)); };
    const double exact = line_divergence(d);
    EXPECT_NEAR(line_bound(d, best), exact, 1e-7);  // double, and bisection to 1e-13
    for (const double scale : {0.7, 1.2})
      EXPECT_LT(line_bound(d, [&](double x) { return scale * best(x); }), exact - 1e-4);
    for (const double shift : {-0.3, 0.3})
      EXPECT_LT(line_bound(d, [&](double x) { return best(x) + shift; }), exact - 1e-4);
  }
}

TEST(ZooDivergenceTest, ALearnedBoundIsBelowTheDivergenceAndComesClose) {
  for (const Divergence& d : divergences()) {
    SCOPED_TRACE(d.name);
    Random random(1);
    Critic critic(d, 1, 32, random);
    for (int i = 0; i < 1500; ++i)
      critic.update(line_p_points(256, random), line_q_points(256, random), 2e-3);
    const double bound =
        line_bound(d, [&](double x) { return double(critic.output({static_cast<float>(x)})[0]); });
    const double exact = line_divergence(d), none = d.f(1);
    EXPECT_LT(bound, exact);
    EXPECT_GT(bound - none, 0.6 * (exact - none));  // a critic that sees nothing stays at f(1)
  }
}

TEST(ZooGanTest, TheBestDiscriminatorsValueIsMinusLog4WhereGeneratorAndDataCoincide) {
  const Values points = {0, 0, 1, -1, -2, 0.5};
  for (const double d : best_discriminator(1, points)) EXPECT_NEAR(d, 0.5, 1e-12);
  EXPECT_NEAR(best_value(1), -std::log(4), 1e-4);  // what float32 places leave of the integral
  double before = 0;
  for (const double nearness : {0., 0.4, 0.8, 1.}) {
    EXPECT_LT(best_value(nearness), before);
    before = best_value(nearness);
  }
}

TEST(ZooGanTest, ALearnedDiscriminatorEndsAtMinusLog4WhereGeneratorAndDataCoincide) {
  const Data data = moons();
  for (const bool coincide : {true, false}) {
    Random random(2);
    Critic critic(divergence("gan"), 2, 64, random);
    for (int i = 0; i < 800; ++i)
      critic.update(random.rows_of(data.train, 2, 128),
                    near_moons(coincide, data.train, 128, random), 2e-3 * (1 - i / 800.));
    const double value = critic.bound(data.test, near_moons(coincide, data.test, 10000, random));
    // The standard error of 10,000 points is 0.001; apart from that a discriminator of so many
    // weights has learned some of its own points by heart. Of a Gaussian against the moons the best
    // has -0.58.
    if (coincide)
      EXPECT_NEAR(value, -std::log(4), 0.02);
    else
      EXPECT_GT(value, -1.1);
  }
}

/// 2 JS(p, q) by a new discriminator, held to other points: 2 log 2 where none of q is like p.
double distance(Game& game, const Data& data) {
  Random random(3);
  Critic critic(divergence("gan"), 2, 64, random);
  for (int i = 0; i < 300; ++i)
    critic.update(random.rows_of(data.train, 2, 256), game.sample(256, random), 2e-3);
  return critic.bound(data.test, game.sample(5000, random)) + std::log(4);
}

TEST(ZooGameTest, EveryDivergenceBringsItsGeneratorToATenthOfItsDistanceFromTheMoons) {
  const Data data = moons();
  for (const Divergence& d : divergences()) {
    SCOPED_TRACE(d.name);
    Random random(4);
    Game game(d, {2, 4, 64, false}, random);
    const double before = distance(game, data);
    for (int i = 0; i < 1200; ++i) game.update(random.rows_of(data.train, 2, 128), 1e-3, random);
    EXPECT_LT(distance(game, data), before / 10);
  }
}

Values all_states(int bits) {
  Values states;
  for (int s = 0; s < 1 << bits; ++s)
    for (int i = 0; i < bits; ++i) states.push_back(static_cast<float>(s >> i & 1));
  return states;
}

/// A machine that has learned something, so that its weights matter.
Rbm learned_rbm(int visible, int hidden, Random& random) {
  const Values data = random.bernoulli(Values(50 * visible, 0.3f));
  Rbm rbm(visible, hidden, data, random);
  for (int i = 0; i < 300; ++i) rbm.update(data, 1, 0.02, random);
  return rbm;
}

TEST(ZooRbmTest, ThePartitionFunctionIsTheSameSummedOverEitherSide) {
  Random random(5);
  const Rbm rbm = learned_rbm(9, 6, random);  // enumerates its hidden units
  std::vector<double> terms = rbm.free_energy(all_states(9));
  for (double& term : terms) term = -term;
  EXPECT_NEAR(rbm.log_partition(), log_sum_exp(terms), 1e-5);  // float32 products
  const Rbm wide = learned_rbm(6, 9, random);                  // and its visible ones
  terms = wide.free_energy(all_states(6));
  for (double& term : terms) term = -term;
  EXPECT_NEAR(wide.log_partition(), log_sum_exp(terms), 1e-5);
}

TEST(ZooRbmTest, TheGibbsChainEndsInTheDistributionOfTheFreeEnergy) {
  Random random(6);
  constexpr int kVisible = 4, kChains = 40'000;
  const Rbm rbm = learned_rbm(kVisible, 3, random);
  const Values v = rbm.gibbs(random.bernoulli(Values(kChains * kVisible, 0.5f)), 40, random);
  std::vector<double> counts(1 << kVisible);
  for (int r = 0; r < kChains; ++r) {
    int state = 0;
    for (int i = 0; i < kVisible; ++i) state |= static_cast<int>(v[r * kVisible + i]) << i;
    ++counts[state];
  }
  const std::vector<double> energy = rbm.free_energy(all_states(kVisible));
  for (int s = 0; s < 1 << kVisible; ++s) {
    const double p = std::exp(-energy[s] - rbm.log_partition());
    EXPECT_NEAR(counts[s] / kChains, p, 5 * std::sqrt(p / kChains)) << s;  // five deviations
  }
}

TEST(ZooRbmTest, AnnealedImportanceSamplingFindsThePartitionFunction) {
  Random random(7);
  const Rbm rbm = learned_rbm(16, 10, random);
  const auto [value, error] = rbm.estimate_log_partition(200, 400, random);
  EXPECT_LT(error, 0.1);
  EXPECT_NEAR(value, rbm.log_partition(), 5 * error);
}

TEST(ZooRbmTest, LearnsTheMoonsBySevenTenthsOfANat) {
  Random random(8);
  const Data data = moons();
  const int visible = 2 * kGridBits;
  const Values train = to_bits(data.train), test = to_bits(data.test);
  Rbm rbm(visible, 64, train, random);
  const auto log_prob = [&] { return -mean_of(rbm.free_energy(test)).value - rbm.log_partition(); };
  const double before = log_prob();
  for (int i = 0; i < 800; ++i) rbm.update(random.rows_of(train, visible, 200), 1, 5e-3, random);
  EXPECT_GT(log_prob(), before + 0.7);
}

/// What the Gaussian of the points' own covariance has of log p, on average.
double gaussian_log_prob(const Values& points) {
  double xx = 0, xy = 0, yy = 0;
  for (std::size_t r = 0; r < points.size(); r += 2) {
    const double x = double(points[r]), y = double(points[r + 1]);
    xx += x * x, xy += x * y, yy += y * y;  // means are nearly 0
  }
  const double count = double(points.size()) / 2;
  const double determinant = (xx * yy - xy * xy) / (count * count);
  return -0.5 * std::log(std::pow(2 * std::numbers::pi * std::numbers::e, 2) * determinant);
}

TEST(ZooVaeTest, LearnsAFifthOfANatMoreThanAGaussianCanAndItsBoundIsBelowTheTruth) {
  Random random(9);
  const Data data = moons();
  Vae vae(2, 2, 64, Decoder::gaussian, random);
  for (int i = 0; i < 1500; ++i) vae.update(random.rows_of(data.train, 2, 128), 1e-2, random);
  EXPECT_GT(mean_of(vae.bound(data.test, random)).value, gaussian_log_prob(data.test) + 0.2);
  // Of the same points: one draw is the bound, many come closer to log p, from below.
  const Values some(data.test.begin(), data.test.begin() + 4000);
  const double one = mean_of(vae.bound(some, random)).value;
  const double many = mean_of(vae.log_prob(some, 100, random)).value;
  EXPECT_GT(many, one);
  EXPECT_LT(many, mean_of(moons_log_density(some)).value);
}

TEST(ZooVaeTest, ItsUpdatesFollowTheGradientOfItsBound) {
  // (s, s) and noise of 0.5: the posterior is a Gaussian linear in x, so that the bound can be log
  // p.
  Random random(10);
  Vae vae(2, 1, 16, Decoder::gaussian, random);
  double mean = 0;
  for (int i = 0; i < 3000; ++i) {
    const Values s = random.normal(256);
    Values x = random.normal(512);
    for (int k = 0; k < 512; ++k) x[k] = s[k / 2] + 0.5f * x[k];
    const double bound = vae.update(x, i < 2000 ? 5e-3 : 1e-3, random);
    if (i >= 2900) mean += bound / 100;
  }
  // The negative entropy, of a covariance with determinant 0.5625; without z the best is 0.51
  // lower. Batches of 256 a hundred times: error 0.007; the rest is for what 16 units bend.
  const double two_pi_e = 2 * std::numbers::pi * std::numbers::e;
  EXPECT_NEAR(mean, -0.5 * std::log(two_pi_e * two_pi_e * 0.5625), 0.08);
}

TEST(ZooVaeTest, ABinomialDecoderIsADistributionOverGreys) {
  Random random(11);
  Vae vae(1, 1, 8, Decoder::binomial, random);
  std::vector<double> log_p;
  for (int grey = 0; grey <= 16; ++grey)
    log_p.push_back(mean_of(vae.log_prob({static_cast<float>(grey)}, 4000, random)).value);
  EXPECT_NEAR(log_sum_exp(log_p), 0, 0.1);  // importance sampling, 4,000 draws each
}

TEST(ZooFlowTest, EveryFlowLearnsHalfANatOfTheMoons) {
  Data data = moons();
  const rheo::Dataset train(rheo::Tensor{{20000, 2}, data.train});
  const rheo::Dataset test(rheo::Tensor{{10000, 2}, data.test});
  for (const Flow& flow : flows()) {
    SCOPED_TRACE(flow.name);
    const FlowPlan plan{8, 32, 200, 128, 5e-3};
    rheo::Trainer trainer(model_of(flow, 2, plan), train, training_of(plan));
    const double before = rheo::score(trainer.model(), test).nats;
    for (int i = 0; i < plan.updates; ++i) trainer.step();
    EXPECT_LT(rheo::score(trainer.model(), test).nats, before - 0.5);
  }
}

TEST(ZooFlowTest, TheGreysOfADequantisedPixelShareItsDensity) {
  Data data{"digits", 1, {}, {0}};
  for (int i = 0; i < 17 * 500; ++i) data.train.push_back(static_cast<float>(i % 17));
  const Scaled set = scaled(data);
  std::vector<double> p;  // of x in the data's own units, where a flow has made N(0, 1) of it
  for (const float x : set.train.data)
    p.push_back(std::exp(-double(x) * double(x) / 2 - set.log_scale) /
                std::sqrt(2 * std::numbers::pi));
  const Mean mean = mean_of(p);
  // Intervals without a gap from -8.5 / 6 to 8.5 / 6; five standard errors.
  EXPECT_NEAR(17 * mean.value, std::erf(8.5 / 6 / std::numbers::sqrt2), 17 * 5 * mean.error);
  const auto [least, most] = std::minmax_element(set.train.data.begin(), set.train.data.end());
  EXPECT_NEAR(*least, -8.5 / 6, 1e-3);
  EXPECT_NEAR(*most, 8.5 / 6, 1e-3);
}

TEST(ZooNetworkTest, GradientsAreDifferences) {
  Random random(12);
  Network network({3, 8, 8, 2}, random);
  const Values x = random.normal(15), weights = random.normal(10);
  const auto loss = [&](const Values& at) {
    const Values y = network.forward(at);
    return std::inner_product(y.begin(), y.end(), weights.begin(), 0.);
  };
  loss(x);
  const Values dx = network.backward(weights);
  const Values dw = network.parameters().gradient;
  constexpr float kStep = 1e-3f;  // short, since ReLU bends; sums of about 5 are good to 1e-6
  for (std::size_t i = 0; i < x.size(); ++i) {
    Values up = x, down = x;
    up[i] += kStep, down[i] -= kStep;
    EXPECT_NEAR(dx[i], (loss(up) - loss(down)) / (2 * double(kStep)), 5e-3) << i;
  }
  for (std::size_t i = 0; i < dw.size(); i += 7) {
    float& weight = network.parameters().values[i];
    const float kept = weight;
    weight = kept + kStep;
    const double up = loss(x);
    weight = kept - kStep;
    const double down = loss(x);
    weight = kept;
    EXPECT_NEAR(dw[i], (up - down) / (2 * double(kStep)), 5e-3) << i;
  }
}

TEST(ZooRandomTest, NumbersAreThoseOfTheirDistributionAndSeed) {
  Random random(13), same(13), other(14);
  const Values u = random.uniform(100'000);
  EXPECT_EQ(same.uniform(100'000), u);
  EXPECT_NE(other.uniform(100'000), u);
  EXPECT_NE(random.uniform(100'000), u);  // a call goes on where the last one ended
  EXPECT_GT(*std::min_element(u.begin(), u.end()), 0);
  EXPECT_LE(*std::max_element(u.begin(), u.end()), 1);
  // Five standard errors of 100,000 numbers.
  EXPECT_NEAR(mean_of({u.begin(), u.end()}).value, 0.5, 5 * std::sqrt(1 / 12e5));
  const Values n = random.normal(100'001);
  double fourth = 0;
  for (const float value : n) fourth += std::pow(double(value), 4) / double(n.size());
  EXPECT_NEAR(mean_of({n.begin(), n.end()}).value, 0, 5 / std::sqrt(1e5));
  EXPECT_NEAR(fourth, 3, 5 * std::sqrt(96 / 1e5));
}

TEST(ZooDataTest, TheMoonsDensityIsOneAndThatOfThePoints) {
  double mass = 0;
  Values points;
  for (int i = 0; i < 150 * 150; ++i)
    for (const int at : {i % 150, i / 150}) points.push_back(static_cast<float>(at * 0.04 - 3));
  for (const double log_p : moons_log_density(points)) mass += std::exp(log_p) * 0.04 * 0.04;
  EXPECT_NEAR(mass, 1, 1e-3);
  // Points of another noise would have a mean of log p that is smaller than minus the entropy.
  double negative_entropy = 0;
  for (const double log_p : moons_log_density(points))
    negative_entropy += std::exp(log_p) * log_p * 0.04 * 0.04;
  const Values test = moons().test;
  const Mean mean = mean_of(moons_log_density(test));
  EXPECT_NEAR(mean.value, negative_entropy, 5 * mean.error);
}

TEST(ZooDataTest, NeighboursOnTheGridDifferInOneBitAndComeBack) {
  Values line, back;
  for (int i = 0; i < 1 << kGridBits; ++i)
    line.push_back(static_cast<float>((i + 0.5) * kGridCell - kGridHalf));
  const Values bits = to_bits(line);
  EXPECT_EQ(from_bits(bits), line);
  for (int i = 1; i < 1 << kGridBits; ++i) {
    int changed = 0;
    for (int b = 0; b < kGridBits; ++b)
      changed += bits[i * kGridBits + b] != bits[(i - 1) * kGridBits + b];
    EXPECT_EQ(changed, 1);
  }
}

}  // namespace
}  // namespace zoo
