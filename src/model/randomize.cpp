// Random weights (docs/model.md, "A new model").

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random.h"
#include "src/model/impl.h"

namespace rheo {
namespace {

std::vector<double> gaussians(std::uint64_t seed, Purpose purpose, std::int64_t tensor,
                              std::int64_t count) {
  std::vector<double> values(count);
  for (std::int64_t i = 0; i < count; i += 2) {
    const auto words = math::random_block(seed, purpose, tensor, i / 2);
    const math::NormalPair pair = math::normals(words[0], words[1]);
    values[i] = static_cast<double>(pair.first);
    if (i + 1 < count) values[i + 1] = static_cast<double>(pair.second);
  }
  return values;
}

/// Orthonormal rows by Gram-Schmidt, twice for their last digits; determinant +1 or -1.
std::vector<double> orthonormal(std::vector<double> a, int n) {
  for (int i = 0; i < n; ++i) {
    double* row = a.data() + i * n;
    for (int pass = 0; pass < 2; ++pass)
      for (int j = 0; j < i; ++j) {
        const double* other = a.data() + j * n;
        const double dot = std::inner_product(row, row + n, other, 0.0);
        for (int k = 0; k < n; ++k) row[k] -= dot * other[k];
      }
    const double length = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    for (int k = 0; k < n; ++k) row[k] /= length;
  }
  return a;
}

/// W = Perm L U by partial pivoting, L and U in one matrix; row i of W is row permutation[i] of LU.
struct Lu {
  std::vector<double> matrix;
  std::vector<float> permutation;
};

Lu factor(std::vector<double> w, int n) {
  std::vector<int> source(n);  // row i of LU comes from row source[i] of W
  std::iota(source.begin(), source.end(), 0);
  for (int k = 0; k < n; ++k) {
    int pivot = k;
    for (int i = k + 1; i < n; ++i)
      if (std::abs(w[i * n + k]) > std::abs(w[pivot * n + k])) pivot = i;
    std::swap_ranges(w.begin() + k * n, w.begin() + (k + 1) * n, w.begin() + pivot * n);
    std::swap(source[k], source[pivot]);
    for (int i = k + 1; i < n; ++i) {
      const double factor = w[i * n + k] /= w[k * n + k];
      for (int j = k + 1; j < n; ++j) w[i * n + j] -= factor * w[k * n + j];
    }
  }
  std::vector<float> permutation(n);
  for (int i = 0; i < n; ++i) permutation[source[i]] = static_cast<float>(i);
  return {std::move(w), std::move(permutation)};
}

/// The part of a rotation's factors that tensor `name` holds.
std::vector<float> part_of(const Lu& lu, const std::string& name, int n) {
  if (name.ends_with("permutation")) return lu.permutation;
  const bool square = name.ends_with("lower") || name.ends_with("upper");
  std::vector<float> part(square ? n * n : n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const double value = lu.matrix[i * n + j];
      if (square && (name.ends_with("lower") ? i > j : i < j))
        part[i * n + j] = static_cast<float>(value);
      if (!square && i == j)
        part[i] = static_cast<float>(name.ends_with("sign") ? std::copysign(1.0, value)
                                                            : std::log(std::abs(value)));
    }
  return part;
}

std::vector<float> scaled(const std::vector<double>& values, double scale) {
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i] = static_cast<float>(scale * values[i]);
  return result;
}

/// Between -1 and 1.
std::vector<double> uniforms(std::uint64_t seed, std::int64_t tensor, std::int64_t count) {
  std::vector<double> values(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto words = math::random_block(seed, Purpose::weights, tensor, i / 4);
    values[i] = 2 * ((words[i % 4] + 0.5) / 4294967296.0) - 1;
  }
  return values;
}

/// 0..n-1 in an order drawn by the seed (Fisher and Yates), drawn again where it changes nothing.
std::vector<int> shuffled(std::uint64_t seed, std::int64_t tensor, int n) {
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::int64_t drawn = 0;
  while (n > 1 && std::is_sorted(order.begin(), order.end()))
    for (int i = n - 1; i > 0; --i) {
      const auto word = math::random_block(seed, Purpose::rotation, tensor, drawn++)[0];
      std::swap(order[i], order[word % static_cast<std::uint32_t>(i + 1)]);
    }
  return order;
}

/// Of one step of RealNVP on squeezed images (arXiv:1605.08803, section 3.4): first masks in a
/// checkerboard, then of channels, each kind and its complement in turn. A pixel's place in its 2x2
/// block is its channel's number mod 4, and places 0 and 3 are of one colour; so a mask is which
/// channels come first, and each step takes the order in which the one before left them.
std::vector<int> image_order(int step, int steps, int channels) {
  const auto arranged = [&](int k) {  // channels of the squeezed image, those to be passed first
    std::vector<int> order(channels);
    std::iota(order.begin(), order.end(), 0);
    const bool checkerboard = k < (steps + 1) / 2;
    const bool complement = (checkerboard ? k : k - (steps + 1) / 2) % 2 == 1;
    std::stable_partition(order.begin(), order.end(), [&](int c) {
      const bool first = checkerboard ? c % 4 == 0 || c % 4 == 3 : c < channels / 2;
      return first != complement;
    });
    return order;
  };
  if (step == 0) return arranged(0);
  const std::vector<int> before = arranged(step - 1);
  std::vector<int> place(channels), order = arranged(step);
  for (int i = 0; i < channels; ++i) place[before[i]] = i;
  for (int& channel : order) channel = place[channel];
  return order;
}

/// A permutation that is not learned, of a level's channels.
std::vector<float> fixed_order(const ModelConfig& config, std::uint64_t seed, std::int64_t tensor,
                               int step, const LevelLayout& level) {
  std::vector<int> order(level.channels);
  std::iota(order.begin(), order.end(), 0);
  if (config.permutation == Permutation::shuffle)
    order = shuffled(seed, tensor, level.channels);
  else if (config.family == Family::realnvp && !config.is_vector())
    order = image_order(step, config.steps, level.channels);
  else if (step > 0 && (config.is_autoregressive() || config.family == Family::glow))
    std::reverse(order.begin(), order.end());
  else if (step > 0)  // reversed, the middle one of an odd number would never be moved
    std::rotate(order.begin(), order.begin() + level.passed, order.end());
  return {order.begin(), order.end()};
}

/// Weights and biases of a layer of an MLP: uniform within 1 / sqrt(inputs).
double linear_bound(const ModelConfig& config, const LevelLayout& level, const std::string& name) {
  const bool first = name.find("linear1.") != std::string::npos;
  return 1 / std::sqrt(static_cast<double>(first ? level.seen : config.hidden));
}

}  // namespace

void randomize(Model::Impl& model, std::uint64_t seed) {
  const ModelConfig& config = model.config;
  Lu lu;
  std::string of;  // the step that `lu` belongs to
  std::int64_t index = 0;
  int orders = 0;
  for (const ParameterInfo& tensor : model.layout.tensors) {
    const std::string& name = tensor.name;
    ++index;
    const auto drawn = [&](double scale) {
      return scaled(gaussians(seed, Purpose::weights, index, tensor.size), scale);
    };
    if (const auto at = name.find(".invconv."); at != std::string::npos) {
      const int n = static_cast<int>(tensor.shape[0]);
      if (of != name.substr(0, at)) {
        of = name.substr(0, at);
        lu = factor(orthonormal(gaussians(seed, Purpose::rotation, index, n * n), n), n);
      }
      model.write(tensor, part_of(lu, name, n));
    } else if (tensor.kind == ParameterInfo::Kind::permutation) {
      const int step = orders % config.steps;
      const LevelLayout& level = model.layout.levels[orders++ / config.steps];
      model.write(tensor, fixed_order(config, seed, index, step, level));
    } else if (name.ends_with("conv1.weight") || name.ends_with("conv2.weight") ||
               name.ends_with("conv1.edge")) {
      constexpr double kDeviation = 0.05;
      model.write(tensor, drawn(kDeviation));
    } else if (name.find(".linear") != std::string::npos) {
      const double bound = linear_bound(config, model.layout.levels[0], name);
      model.write(tensor, scaled(uniforms(seed, index, tensor.size), bound));
    } else if (name.ends_with("gain")) {
      model.write(tensor, {1.f});
    }
  }
}

}  // namespace rheo
