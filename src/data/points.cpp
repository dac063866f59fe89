#include "src/data/points.h"

#include <cmath>
#include <limits>
#include <sstream>
#include <utility>
#include <variant>

#include "src/check.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr std::int64_t kMostDims = std::numeric_limits<int>::max();

// In the order of NpyArray.
constexpr const char* kTypes[] = {"uint8", "int32", "int64", "float32", "float64"};

const Shape& shape_of(const NpyArray& array) {
  return std::visit([](const auto& a) -> const Shape& { return a.shape; }, array);
}

template <class T>
std::string wrong_with(const Array<T>& points) {
  const Shape& shape = points.shape;
  std::ostringstream text;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[1] > kMostDims) {
    text << "points must be [N, D], none 0; got " << to_string(shape);
    return text.str();
  }
  const auto bytes = byte_count(shape, sizeof(T));
  if (!bytes || *bytes != points.data.size() * sizeof(T)) {
    text << "points must fill the shape " << to_string(shape) << "; got " << points.data.size()
         << " values";
    return text.str();
  }
  for (std::size_t i = 0; i < points.data.size(); ++i) {
    const auto value = static_cast<float>(points.data[i]);
    if (std::isfinite(value)) continue;
    const auto columns = static_cast<std::size_t>(shape[1]);
    text << "points must be finite in float32; got " << value << " in row " << i / columns
         << ", column " << i % columns;
    return text.str();
  }
  return "";
}

/// As float32, once known good: memory is taken for no others.
Tensor checked(Array<double> wide, const std::string& path) {
  const std::string wrong = wrong_with(wide);
  require_file(wrong.empty(), path, ": ", wrong);
  return {wide.shape, {wide.data.begin(), wide.data.end()}};
}

Tensor checked(Tensor points, const std::string& path) {
  const std::string wrong = wrong_with(points);
  require_file(wrong.empty(), path, ": ", wrong);
  return points;
}

}  // namespace

std::string wrong_with_points(const Tensor& points) {
  return wrong_with(points);
}

Tensor points_from(NpyArray array, const std::string& path) {
  const auto* doubles = std::get_if<Array<double>>(&array);
  const bool floats = doubles || std::holds_alternative<Tensor>(array);
  require_file(
      floats && shape_of(array).size() == 2, path,
      ": must hold images, uint8 [N, H, W] or [N, H, W, C], or points, floats [N, D]; got ",
      kTypes[array.index()], " ", to_string(shape_of(array)));
  if (doubles) return checked(std::get<Array<double>>(std::move(array)), path);
  return checked(std::get<Tensor>(std::move(array)), path);
}

}  // namespace rheo
