// Random weights (docs/model.md, "A new model").

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

bool ends_with(const std::string& name, const char* end) {
  return name.ends_with(end);
}

/// The part of a rotation's factors that tensor `name` holds.
std::vector<float> part_of(const Lu& lu, const std::string& name, int n) {
  if (ends_with(name, "permutation")) return lu.permutation;
  const bool square = ends_with(name, "lower") || ends_with(name, "upper");
  std::vector<float> part(square ? n * n : n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const double value = lu.matrix[i * n + j];
      if (square && (ends_with(name, "lower") ? i > j : i < j))
        part[i * n + j] = static_cast<float>(value);
      if (!square && i == j)
        part[i] = static_cast<float>(ends_with(name, "sign") ? std::copysign(1.0, value)
                                                             : std::log(std::abs(value)));
    }
  return part;
}

std::vector<float> scaled(const std::vector<double>& values, double scale) {
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i] = static_cast<float>(scale * values[i]);
  return result;
}

}  // namespace

void randomize(Model::Impl& model, std::uint64_t seed) {
  Lu lu;
  std::string of;  // the step that `lu` belongs to
  std::int64_t index = 0;
  for (const ParameterInfo& tensor : model.layout.tensors) {
    const std::string& name = tensor.name;
    ++index;
    if (const auto at = name.find(".invconv."); at != std::string::npos) {
      const int n = static_cast<int>(tensor.shape[0]);
      if (of != name.substr(0, at)) {
        of = name.substr(0, at);
        lu = factor(orthonormal(gaussians(seed, Purpose::rotation, index, n * n), n), n);
      }
      model.write(tensor, part_of(lu, name, n));
    } else if (ends_with(name, "conv1.weight") || ends_with(name, "conv2.weight") ||
               ends_with(name, "conv1.edge")) {
      constexpr double kDeviation = 0.05;
      model.write(tensor,
                  scaled(gaussians(seed, Purpose::weights, index, tensor.size), kDeviation));
    }
  }
}

}  // namespace rheo
