#pragma once

#include <functional>
#include <vector>

namespace rheo::reference {

using Function = std::function<std::vector<double>(const std::vector<double>&)>;

/// d f_i / d x_j at [i * n + j] by central differences of `step`; f maps n values to n.
/// @throws std::invalid_argument where it does not.
std::vector<double> jacobian(const Function& f, const std::vector<double>& x, double step = 1e-6);

/// log|det| of a square row-major matrix, by elimination with partial pivoting; -inf if singular.
double log_abs_det(std::vector<double> matrix);

/// log|det df/dx|, dense.
double log_abs_det_jacobian(const Function& f, const std::vector<double>& x, double step = 1e-6);

}  // namespace rheo::reference
