#include "examples/generative_zoo/rbm.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace zoo {
namespace {

Values start_of(int visible, int hidden, const Values& base, Random& random) {
  Values start = random.normal(std::int64_t{hidden} * visible);
  for (float& value : start) value *= 0.05f;
  start.resize(start.size() + hidden);
  start.insert(start.end(), base.begin(), base.end());
  return start;
}

Values sigmoids(Values x) {
  for (float& value : x) value = static_cast<float>(sigmoid(value));
  return x;
}

/// Rows first .. first + count - 1 of all states of so many bits.
Values states(std::int64_t first, std::int64_t count, int bits) {
  Values rows(count * bits);
  for (std::int64_t r = 0; r < count; ++r)
    for (int i = 0; i < bits; ++i) rows[r * bits + i] = static_cast<float>((first + r) >> i & 1);
  return rows;
}

/// For each row of the states of one side: its bias times the state, and the other side summed out.
void add_terms(const Values& state, const float* bias, const Values& other, std::int64_t rows,
               std::vector<double>& terms) {
  const std::size_t bits = state.size() / rows, others = other.size() / rows;
  for (std::int64_t r = 0; r < rows; ++r) {
    double term = 0;
    for (std::size_t i = 0; i < bits; ++i) term += double(bias[i]) * double(state[r * bits + i]);
    for (std::size_t j = 0; j < others; ++j) term += softplus(double(other[r * others + j]));
    terms.push_back(term);
  }
}

/// The biases with which independent units have the means of these rows.
Values biases_of(const Values& data, int visible) {
  const std::size_t rows = data.size() / visible;
  Values biases;
  for (int i = 0; i < visible; ++i) {
    double ones = 1;  // one more of each kind than there are, so that no bias is infinite
    for (std::size_t r = 0; r < rows; ++r) ones += double(data[r * visible + i]);
    biases.push_back(static_cast<float>(std::log(ones / (double(rows) + 2 - ones))));
  }
  return biases;
}

}  // namespace

Rbm::Rbm(int visible, int hidden, const Values& data, Random& random)
    : visible_(visible),
      hidden_(hidden),
      base_(biases_of(data, visible)),
      parameters_(start_of(visible, hidden, base_, random)) {}

Values Rbm::to_hidden(const Values& v) const {
  const std::int64_t rows = static_cast<std::int64_t>(v.size()) / visible_;
  Values h(rows * hidden_);
  rheo::linear_forward(
      device(), {rows, visible_, hidden_, v.data(), weight(), h.data(), hidden_bias()}, nullptr);
  return h;
}

Values Rbm::to_visible(const Values& h) const {
  const std::int64_t rows = static_cast<std::int64_t>(h.size()) / hidden_;
  Values v(rows * visible_);
  rheo::linear_backward_data(device(), {rows, visible_, hidden_, h.data(), weight(), v.data()},
                             nullptr);
  for (std::int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < visible_; ++i) v[r * visible_ + i] += visible_bias()[i];
  return v;
}

Values Rbm::hidden_given(const Values& v) const {
  return sigmoids(to_hidden(v));
}

Values Rbm::visible_given(const Values& h) const {
  return sigmoids(to_visible(h));
}

Values Rbm::gibbs(Values v, int steps, Random& random) const {
  for (int step = 0; step < steps; ++step)
    v = random.bernoulli(visible_given(random.bernoulli(hidden_given(v))));
  return v;
}

void Rbm::add_gradient(const Values& v, float sign) {
  const std::int64_t rows = static_cast<std::int64_t>(v.size()) / visible_;
  const float share = sign / static_cast<float>(rows);
  Values h = hidden_given(v);
  for (float& value : h) value *= -share;  // dF/d(b + W v) = -p(h = 1 | v)
  float* gradient = parameters_.gradient.data();
  float* by_hidden = gradient + (hidden_bias() - weight());
  float* by_visible = gradient + (visible_bias() - weight());
  rheo::linear_backward_weights(
      device(), {rows, visible_, hidden_, h.data(), v.data(), gradient, by_hidden}, nullptr);
  for (std::int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < visible_; ++i) by_visible[i] -= share * v[r * visible_ + i];
}

double Rbm::update(const Values& v, int k, double rate, Random& random) {
  const Values after = gibbs(v, k, random);
  add_gradient(v, 1);
  add_gradient(after, -1);
  parameters_.update(rate);
  double changed = 0;
  for (std::size_t i = 0; i < v.size(); ++i) changed += v[i] != after[i];
  return changed / double(v.size());
}

std::vector<double> Rbm::free_energy(const Values& v) const {
  std::vector<double> energy;
  const std::int64_t rows = static_cast<std::int64_t>(v.size()) / visible_;
  add_terms(v, visible_bias(), to_hidden(v), rows, energy);
  for (double& value : energy) value = -value;
  return energy;
}

double Rbm::log_partition() const {
  constexpr std::int64_t kBlock = 1 << 14;
  const bool by_visible = visible_ <= hidden_;
  const int bits = by_visible ? visible_ : hidden_;
  if (bits > 24) throw std::invalid_argument("Rbm: too many states to sum over");
  std::vector<double> terms;
  for (std::int64_t first = 0; first < std::int64_t{1} << bits; first += kBlock) {
    const std::int64_t rows = std::min(kBlock, (std::int64_t{1} << bits) - first);
    const Values state = states(first, rows, bits);
    if (by_visible)
      add_terms(state, visible_bias(), to_hidden(state), rows, terms);
    else
      add_terms(state, hidden_bias(), to_visible(state), rows, terms);
  }
  return log_sum_exp(terms);
}

Rbm::Estimate Rbm::estimate_log_partition(int chains, int temperatures, Random& random) const {
  // Between p_0(v) = exp(base^T v) 2^hidden and p_1(v) = exp(-F(v)): p_0's part to the power 1 - t,
  // the units' energy times t.
  const auto log_p = [&](const Values& v, const Values& h, double t, std::size_t r) {
    double value = 0;
    for (int i = 0; i < visible_; ++i)
      value += ((1 - t) * double(base_[i]) + t * double(visible_bias()[i])) *
               double(v[r * visible_ + i]);
    for (int j = 0; j < hidden_; ++j) value += softplus(t * double(h[r * hidden_ + j]));
    return value;
  };
  double log_base = hidden_ * std::log(2.);
  Values bases;
  for (const float bias : base_) log_base += softplus(double(bias));
  for (int r = 0; r < chains; ++r) bases.insert(bases.end(), base_.begin(), base_.end());
  Values v = random.bernoulli(sigmoids(bases));
  std::vector<double> log_weights(chains, log_base);
  for (int step = 1; step <= temperatures; ++step) {
    const double before = double(step - 1) / temperatures, t = double(step) / temperatures;
    Values h = to_hidden(v);
    for (int r = 0; r < chains; ++r) log_weights[r] += log_p(v, h, t, r) - log_p(v, h, before, r);
    for (float& value : h) value *= static_cast<float>(t);
    v = to_visible(random.bernoulli(sigmoids(std::move(h))));
    for (std::size_t i = 0; i < v.size(); ++i)
      v[i] = static_cast<float>((1 - t) * double(bases[i]) + t * double(v[i]));
    v = random.bernoulli(sigmoids(std::move(v)));
  }
  const double mean = log_sum_exp(log_weights) - std::log(double(chains));
  double squares = 0;
  for (const double weight : log_weights) squares += std::pow(std::exp(weight - mean) - 1, 2);
  return {mean, std::sqrt(squares / chains / (chains - 1))};
}

}  // namespace zoo
