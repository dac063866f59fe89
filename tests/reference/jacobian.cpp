#include "tests/reference/jacobian.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace rheo::reference {

std::vector<double> jacobian(const Function& f, const std::vector<double>& x, double step) {
  const std::size_t n = x.size();
  std::vector<double> matrix(n * n);
  std::vector<double> moved = x;
  for (std::size_t j = 0; j < n; ++j) {
    moved[j] = x[j] + step;
    const std::vector<double> above = f(moved);
    moved[j] = x[j] - step;
    const std::vector<double> below = f(moved);
    moved[j] = x[j];
    if (above.size() != n || below.size() != n)
      throw std::invalid_argument("jacobian: f must map n values to n");
    for (std::size_t i = 0; i < n; ++i) matrix[i * n + j] = (above[i] - below[i]) / (2 * step);
  }
  return matrix;
}

double log_abs_det(std::vector<double> matrix) {
  const auto n = static_cast<std::size_t>(std::lround(std::sqrt(double(matrix.size()))));
  if (n * n != matrix.size()) throw std::invalid_argument("log_abs_det: matrix must be square");
  double total = 0;
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < n; ++i)
      if (std::abs(matrix[i * n + k]) > std::abs(matrix[pivot * n + k])) pivot = i;
    for (std::size_t j = 0; j < n; ++j) std::swap(matrix[k * n + j], matrix[pivot * n + j]);
    total += std::log(std::abs(matrix[k * n + k]));
    if (matrix[k * n + k] == 0) return total;
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = matrix[i * n + k] / matrix[k * n + k];
      for (std::size_t j = k; j < n; ++j) matrix[i * n + j] -= factor * matrix[k * n + j];
    }
  }
  return total;
}

double log_abs_det_jacobian(const Function& f, const std::vector<double>& x, double step) {
  return log_abs_det(jacobian(f, x, step));
}

}  // namespace rheo::reference
