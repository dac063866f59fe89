// The mean log p of a data set.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rheo/model.h"
#include "src/check.h"
#include "src/data/match.h"

namespace rheo {
namespace {

/// Of numbers seen one at a time (Welford 1962).
class Mean {
 public:
  void add(double value) {
    const double delta = value - mean_;
    mean_ += delta / static_cast<double>(++seen_);
    squares_ += delta * (value - mean_);
  }

  double value() const { return mean_; }
  double standard_error() const {
    const auto n = static_cast<double>(seen_);
    return seen_ > 1 ? std::sqrt(squares_ / (n - 1) / n) : 0;
  }

 private:
  double mean_ = 0, squares_ = 0;
  std::int64_t seen_ = 0;
};

Tensor x_of(const Dataset& data, const ModelConfig& config, const Noise& noise,
            std::int64_t first) {
  return data.is_points() ? data.points() : dequantize(data.images(), config.n_bits, noise, first);
}

}  // namespace

Score mean_score(const std::vector<double>& log_prob, const ModelConfig& config) {
  config.validate();
  Mean nats;
  for (const double one : log_prob) nats.add(-one);
  const int n_bits = config.is_vector() ? 0 : config.n_bits;  // vectors are not pixels of so many
  const double per_nat = 1 / (static_cast<double>(config.dims()) * std::numbers::ln2);
  return {.bits_per_dim = bits_per_dim(-nats.value(), config.dims(), n_bits),
          .standard_error = nats.standard_error() * per_nat,
          .images = static_cast<std::int64_t>(log_prob.size()),
          .nats = nats.value(),
          .nats_standard_error = nats.standard_error()};
}

Score score(Model& model, const Dataset& data, const Noise& noise, const Progress& progress) {
  return guarded("score", [&] {
    const ModelConfig& c = model.config();
    require_match("score", c, data);
    // A part at a time, so that the float images of a large set need not all fit.
    const std::int64_t part = std::max<std::int64_t>(1, (std::int64_t{1} << 22) / c.dims());
    std::vector<double> all;
    for (std::int64_t first = 0; first < data.size(); first += part) {
      const Dataset some = data.slice(first, std::min(part, data.size() - first));
      const Progress within = [&](std::int64_t done, std::int64_t) {
        if (progress) progress(first + done, data.size());
      };
      const std::vector<double> log_prob =
          model.log_prob(x_of(some, c, noise, first), c.classes ? some.labels() : Labels{}, within);
      all.insert(all.end(), log_prob.begin(), log_prob.end());
    }
    return mean_score(all, c);
  });
}

}  // namespace rheo
