// Restricted Boltzmann machines. Usage: zoo_rbm FOLDER [SHARE]
#include <cmath>

#include "examples/generative_zoo/rbm.h"
#include "examples/generative_zoo/record.h"

namespace {

using zoo::Values;

struct Plan {
  int hidden, k, updates, batch, sampling_steps;
  double rate;
};

struct Learned {
  zoo::Rbm rbm;
  double log_z;

  std::vector<double> log_prob(const Values& v) const {
    std::vector<double> values = rbm.free_energy(v);
    for (double& value : values) value = -value - log_z;
    return values;
  }
};

/// Learns, and keeps what the sum over all states and its estimate say.
Learned learn(zoo::Record& record, const zoo::Request& request, int visible, const Plan& plan,
              const Values& ones, const std::function<Values()>& batch, zoo::Random& random) {
  zoo::Rbm rbm(visible, plan.hidden, ones, random);
  const int updates = request.of(plan.updates);
  int done = 0;
  record.train(updates, [&] {
    const double rate = plan.rate * (1 - 0.95 * done++ / updates);
    return rbm.update(batch(), plan.k, rate, random);
  });
  record.number("parameters", double(rbm.parameter_count()));
  const zoo::Clock clock;
  const double log_z = rbm.log_partition();
  record.number("log_z", log_z);
  record.number("log_z_seconds", clock.seconds());
  const zoo::Clock annealing;
  const auto estimate = rbm.estimate_log_partition(200, request.of(2000), random);
  record.number("log_z_estimate", estimate.value);
  record.number("log_z_estimate_error", estimate.error);
  record.number("log_z_estimate_seconds", annealing.seconds());
  record.text("likelihood", "exact up to log Z");
  return {std::move(rbm), log_z};
}

void learn_moons(const zoo::Request& request) {
  const zoo::Data data = zoo::moons();
  zoo::Record record(request, "rbm", data);
  zoo::Random random(1);
  const int visible = 2 * zoo::kGridBits;
  const Plan plan{128, 1, 10000, 256, 1000, 1e-2};
  const Values bits = zoo::to_bits(data.train);
  const auto learned = learn(
      record, request, visible, plan, bits,
      [&] { return random.rows_of(bits, visible, plan.batch); }, random);
  const double log_cell = 2 * std::log(zoo::kGridCell);
  std::vector<double> test = learned.log_prob(zoo::to_bits(data.test));
  for (double& value : test) value -= log_cell;
  record.value(zoo::mean_of(test), "nats a point, on a grid of 64 x 64 cells");
  record.samples([&](zoo::Random stream) {
    const Values start = stream.bernoulli(Values(1000 * visible, 0.5f));
    return zoo::from_bits(learned.rbm.gibbs(start, plan.sampling_steps, stream), &stream);
  });
  Values middles, density;
  for (int i = 0; i < 1 << (2 * zoo::kGridBits); ++i)
    for (const int at : {i % (1 << zoo::kGridBits), i >> zoo::kGridBits})
      middles.push_back(static_cast<float>((at + 0.5) * zoo::kGridCell - zoo::kGridHalf));
  for (const double value : learned.log_prob(zoo::to_bits(middles)))
    density.push_back(static_cast<float>(std::exp(value - log_cell)));
  record.table("density", density, 1 << zoo::kGridBits);
  record.save();
}

void learn_digits(const zoo::Request& request) {
  zoo::Data data = zoo::digits(request.folder);
  zoo::Record record(request, "rbm", data);
  zoo::Random random(2);
  for (Values* values : {&data.train, &data.test})
    for (float& value : *values) value /= 16;  // the probability that a pixel is 1
  const Plan plan{20, 10, 6000, 128, 1000, 5e-3};
  const auto learned = learn(
      record, request, data.dims, plan, random.bernoulli(data.train),
      [&] { return random.bernoulli(random.rows_of(data.train, data.dims, plan.batch)); }, random);
  record.value(zoo::mean_of(learned.log_prob(random.bernoulli(data.test))), "nats a binary image");
  Values v;
  record.samples([&](zoo::Random stream) {
    const Values start = stream.bernoulli(Values(1000 * data.dims, 0.5f));
    return v = learned.rbm.gibbs(start, plan.sampling_steps, stream);
  });
  record.table("means", learned.rbm.visible_given(random.bernoulli(learned.rbm.hidden_given(v))),
               data.dims);
  Values chain, state = random.bernoulli(random.rows_of(data.test, data.dims, 4));
  for (const int steps : {0, 1, 1, 3, 5, 10, 30, 50, 100, 300, 500}) {
    state = learned.rbm.gibbs(std::move(state), steps, random);
    const Values means = learned.rbm.visible_given(learned.rbm.hidden_given(state));
    chain.insert(chain.end(), means.begin(), means.end());
  }
  record.table("chain", chain, data.dims);
  record.save();
}

}  // namespace

int main(int count, char** words) {
  return zoo::run_program(count, words, [](const zoo::Request& request) {
    learn_moons(request);
    if (zoo::has_digits(request.folder)) learn_digits(request);
  });
}
