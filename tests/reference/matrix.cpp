#include "tests/reference/matrix.h"

#include <cmath>
#include <utility>

namespace rheo::reference {
namespace {

std::size_t size_of_square(int n) {
  return static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
}

/// row to -= factor * row from
void subtract_row(Values& a, int n, int to, int from, double factor) {
  for (int j = 0; j < n; ++j) a[to * n + j] -= factor * a[from * n + j];
}

void swap_rows(Values& a, int n, int one, int other) {
  for (int j = 0; j < n; ++j) std::swap(a[one * n + j], a[other * n + j]);
}

}  // namespace

Values product(const Values& a, const Values& b, int n) {
  Values c(size_of_square(n), 0.0);
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < n; ++k)
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
  return c;
}

Values inverse(Values a, int n) {
  Values b(size_of_square(n), 0.0);
  for (int i = 0; i < n; ++i) b[i * n + i] = 1;
  for (int k = 0; k < n; ++k) {
    int pivot = k;
    for (int i = k + 1; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    swap_rows(a, n, k, pivot), swap_rows(b, n, k, pivot);
    for (int i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = a[i * n + k] / a[k * n + k];
      subtract_row(a, n, i, k, factor), subtract_row(b, n, i, k, factor);
    }
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) b[i * n + j] /= a[i * n + i];
  return b;
}

}  // namespace rheo::reference
