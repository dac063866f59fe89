#include "src/data/points.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "src/check.h"
#include "src/io/npy_values.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr std::int64_t kMostDims = std::numeric_limits<int>::max();

}  // namespace

std::string wrong_with_points(const Tensor& points) {
  const Shape& shape = points.shape;
  std::ostringstream text;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[1] > kMostDims) {
    text << "points must be [N, D], none 0; got " << to_string(shape);
    return text.str();
  }
  const auto bytes = byte_count(shape, sizeof(float));
  if (!bytes || *bytes != points.data.size() * sizeof(float)) {
    text << "points must fill the shape " << to_string(shape) << "; got " << points.data.size()
         << " values";
    return text.str();
  }
  for (std::size_t i = 0; i < points.data.size(); ++i) {
    if (std::isfinite(points.data[i])) continue;
    const auto columns = static_cast<std::size_t>(shape[1]);
    text << "points must be finite in float32; got " << points.data[i] << " in row " << i / columns
         << ", column " << i % columns;
    return text.str();
  }
  return "";
}

Tensor read_points(const InputFile& file, const NpyHeader& header) {
  Tensor points{header.shape, {}};
  if (header.kind == NpyKind::f8) {
    points.data.reserve(header.data_bytes / sizeof(double));
    each_value<double>(file, header,
                       [&](double v) { points.data.push_back(static_cast<float>(v)); });
  } else {
    points = read_values<float>(file, header);
  }
  const std::string wrong = wrong_with_points(points);
  require_file(wrong.empty(), file.path(), ": ", wrong);
  return points;
}

}  // namespace rheo
