#include "tests/reference/step.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rheo::reference {
namespace {

/// Pixel p of the batch as image, row and column, and the pixel that its tap t falls on.
struct Place {
  std::int64_t image;
  int i, j;
};

Place place_of(const Grid& g, std::int64_t p) {
  const std::int64_t in_image = p % g.image_pixels();
  return {p / g.image_pixels(), static_cast<int>(in_image / g.width),
          static_cast<int>(in_image % g.width)};
}

/// -1: outside the image.
std::int64_t seen(const Grid& g, std::int64_t p, int taps, int t) {
  if (taps == 1) return p;
  const Place at = place_of(g, p);
  const int i = at.i + t / 3 - 1, j = at.j + t % 3 - 1;
  if (i < 0 || i >= g.height || j < 0 || j >= g.width) return -1;
  return at.image * g.image_pixels() + std::int64_t{i} * g.width + j;
}

double network(const Step& s, std::int64_t p, int o) {
  const int out = coupling_outputs(s.kind, s.channels - s.passed);
  double sum = s.tap_bias.empty() ? 0 : s.tap_bias[o];
  for (int t = 0; t < s.taps; ++t) {
    const std::int64_t q = seen(s.grid, p, s.taps, t);
    if (q >= 0) sum += s.tap_data[(q * s.taps + t) * out + o];
    if (q < 0 && !s.tap_edge.empty()) sum += s.tap_edge[t * out + o];
  }
  return sum;
}

double log_scale(const Step& s, double raw) {
  if (s.kind == CouplingKind::bounded) return 4 / std::numbers::pi * std::atan(raw);
  if (s.kind == CouplingKind::tanh) return std::clamp(s.gain[0] * std::tanh(raw), -87.0, 87.0);
  if (s.kind == CouplingKind::exponential) return std::clamp(raw, -87.0, 87.0);
  const double u = raw + 2;
  return u < 0 ? u - std::log1p(std::exp(u)) : -std::log1p(std::exp(-u));
}

/// `direction` +1 forward, -1 inverse.
void couple(const Step& s, int direction, StepOutputs& y) {
  const int moved = s.channels - s.passed, kept = coupling_kept(s.kind, moved);
  const bool affine = s.kind != CouplingKind::additive, after = s.kind == CouplingKind::tanh;
  y.raw.resize(static_cast<std::size_t>(s.grid.pixels() * kept));
  for (std::int64_t p = 0; p < s.grid.pixels(); ++p)
    for (int c = 0; c < moved; ++c) {
      double& b = y.coupled[p * s.channels + s.passed + c];
      const double shift = network(s, p, c);
      const double raw = affine ? network(s, p, moved + c) : 0;
      const double log = affine ? log_scale(s, raw) : 0, scale = std::exp(log), from = b;
      if (after)
        b = direction > 0 ? b * scale + shift : (b - shift) / scale;
      else
        b = direction > 0 ? (b + shift) * scale : b / scale - shift;
      y.log_det[p / s.grid.image_pixels()] += log;
      if (affine) y.raw[p * kept + c] = raw;
      if (after) y.raw[p * kept + moved + c] = (direction > 0 ? b : from) - shift;
    }
}

StepOutputs coupled(const Step& s, int direction) {
  StepOutputs y{{}, s.from, {}, Values(static_cast<std::size_t>(s.grid.count), 0.0)};
  if (!s.tap_data.empty()) couple(s, direction, y);
  y.to = y.coupled;
  return y;
}

}  // namespace

StepOutputs step_forward(const Step& s) {
  StepOutputs y = coupled(s, +1);
  const std::int64_t n = s.channels;
  for (std::int64_t k = 0; k < (s.mix.empty() ? 0 : s.grid.pixels() * n); ++k) {
    y.to[k] = 0;
    for (std::int64_t j = 0; j < n; ++j)
      y.to[k] += s.mix[k % n * n + j] * (y.coupled[k / n * n + j] + s.bias[j]);
  }
  return y;
}

StepOutputs step_inverse(const Step& s) {
  StepOutputs y = coupled(s, -1);
  const std::int64_t n = s.channels;
  for (std::int64_t k = 0; k < (s.mix.empty() ? 0 : s.grid.pixels() * n); ++k) {
    y.to[k] = -s.bias[k % n];
    for (std::int64_t j = 0; j < n; ++j) y.to[k] += s.mix[k % n * n + j] * y.coupled[k / n * n + j];
  }
  return y;
}

Values step_columns(const Grid& grid, int channels, const Values& to, const Columns& like) {
  const int seen_channels = like.channels, taps = like.taps;
  const int stride = columns_stride(taps, seen_channels, like.edge);
  Values rows(static_cast<std::size_t>(grid.pixels() * stride), 0.0);
  for (std::int64_t p = 0; p < grid.pixels(); ++p) {
    double* row = rows.data() + p * stride;
    row[taps * seen_channels] = 1;
    for (int t = 0; t < taps; ++t) {
      const std::int64_t q = seen(grid, p, taps, t);
      for (int c = 0; c < seen_channels && q >= 0; ++c)
        row[t * seen_channels + c] = to[q * channels + c];
      if (q < 0 && like.edge) row[taps * seen_channels + 1 + t] = 1;
    }
  }
  return rows;
}

}  // namespace rheo::reference
