#include "rheo/toy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "kernels/random.h"
#include "src/check.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

constexpr double kPi = std::numbers::pi;

struct Kind {
  const char* name;
  double noise;
};

/// In the order of Toy.
constexpr std::array<Kind, 6> kKinds = {{{"moons", 0.05},
                                         {"circles", 0.08},
                                         {"checkerboard", 0},
                                         {"spirals", 0.1},
                                         {"eight_gaussians", std::numbers::sqrt2 / 4},
                                         {"pinwheel", 0.1}}};

struct Point {
  double x, y;
};

/// What one point is made of.
struct Draw {
  std::uint32_t part;  // any 32 bits
  double u, v, w;      // (0, 1]
  double a, b;         // N(0, 1)
};

Draw draw(std::uint64_t seed, std::int64_t index) {
  const auto uniforms = math::random_block(seed, Purpose::toy, index, 0);
  const auto noise = math::random_block(seed, Purpose::toy, index, 1);
  const auto pair = math::normals(noise[0], noise[1]);
  return {uniforms[0],
          math::uniform(uniforms[1]),
          math::uniform(uniforms[2]),
          math::uniform(uniforms[3]),
          pair.first,
          pair.second};
}

/// One of `count` parts; 2^32 is so much larger that all are equally likely.
int part_of(const Draw& d, std::uint32_t count) {
  return static_cast<int>(d.part % count);
}

Point moon(const Draw& d) {
  const double t = kPi * d.u;
  if (part_of(d, 2) == 0) return {std::cos(t), std::sin(t)};
  return {1 - std::cos(t), 0.5 - std::sin(t)};
}

Point circle(const Draw& d) {
  const double radius = part_of(d, 2) == 0 ? 1 : 0.5, t = 2 * kPi * d.u;
  return {radius * std::cos(t), radius * std::sin(t)};
}

Point square(const Draw& d) {
  // Two squares in each of four columns; uniform numbers are (0, 1], squares [0, 1).
  const int column = part_of(d, 4), row = 2 * (part_of(d, 8) / 4) + column % 2;
  return {2 * (column + 1 - d.u) - 4, 2 * (row + 1 - d.v) - 4};
}

Point spiral(const Draw& d) {
  const double t = 3 * kPi * std::sqrt(d.u), arm = part_of(d, 2) == 0 ? 1. / 3 : -1. / 3;
  return {arm * (d.v / 2 - t * std::cos(t)), arm * (d.w / 2 + t * std::sin(t))};
}

Point centre(const Draw& d) {
  const double t = part_of(d, 8) * kPi / 4;
  return {2 * std::numbers::sqrt2 * std::cos(t), 2 * std::numbers::sqrt2 * std::sin(t)};
}

Point blade(const Draw& d, double noise) {
  constexpr double kRadial = 0.3, kRate = 0.25;
  const double radius = 1 + kRadial * d.a, side = noise * d.b;
  const double t = part_of(d, 5) * 2 * kPi / 5 + kRate * std::exp(radius);
  return {2 * (radius * std::cos(t) + side * std::sin(t)),
          2 * (side * std::cos(t) - radius * std::sin(t))};
}

Point clean_point(Toy kind, const Draw& d) {
  switch (kind) {
    case Toy::moons:
      return moon(d);
    case Toy::circles:
      return circle(d);
    case Toy::checkerboard:
      return square(d);
    case Toy::spirals:
      return spiral(d);
    default:
      return centre(d);
  }
}

Point point_of(Toy kind, const Draw& d, double noise) {
  if (kind == Toy::pinwheel) return blade(d, noise);  // its noise is part of the formula
  const Point p = clean_point(kind, d);
  return {p.x + noise * d.a, p.y + noise * d.b};
}

std::int64_t columns_of(const char* who, const Tensor& points) {
  const Shape& shape = points.shape;
  require(shape.size() == 2 && shape[0] >= 1 && shape[1] >= 1, who,
          ": points must be [N, D], none 0; got ", to_string(shape));
  require(static_cast<std::int64_t>(points.data.size()) == count_values(who, shape), who,
          ": points must fill the shape ", to_string(shape), "; got ", points.data.size(),
          " values");
  return shape[1];
}

double mean_of(const Tensor& points, std::int64_t column, std::int64_t columns) {
  double sum = 0;
  for (std::size_t i = column; i < points.data.size(); i += columns) sum += points.data[i];
  return sum / static_cast<double>(points.shape[0]);
}

double deviation_of(const Tensor& points, std::int64_t column, std::int64_t columns, double mean) {
  double sum = 0;
  for (std::size_t i = column; i < points.data.size(); i += columns)
    sum += (points.data[i] - mean) * (points.data[i] - mean);
  return std::sqrt(sum / static_cast<double>(points.shape[0]));
}

}  // namespace

std::vector<std::string_view> toy_names() {
  std::vector<std::string_view> names(kKinds.size());
  std::transform(kKinds.begin(), kKinds.end(), names.begin(),
                 [](const Kind& kind) { return kind.name; });
  return names;
}

Toy toy_from_name(std::string_view name) {
  std::string all;
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (name == kKinds[i].name) return static_cast<Toy>(i);
    all += (i == 0 ? "" : i + 1 < kKinds.size() ? ", " : " or ") + std::string(kKinds[i].name);
  }
  fail(Errc::invalid_argument, "toy: must be ", all, "; got ", shown(name));
}

double usual_noise(Toy kind) {
  const auto index = static_cast<std::size_t>(kind);
  require(index < std::size(kKinds), "toy: there are ", std::size(kKinds), " kinds; got number ",
          static_cast<int>(kind));
  return kKinds[index].noise;
}

Tensor toy_points(Toy kind, std::int64_t count, std::uint64_t seed, std::optional<double> noise) {
  constexpr const char* kWho = "toy_points";
  return guarded(kWho, [&] {
    const double usual = usual_noise(kind), s = noise.value_or(usual);
    require(count >= 1, kWho, ": count must be at least 1; got ", count);
    require(std::isfinite(s) && s >= 0, kWho, ": noise must be finite and at least 0; got ", s);
    const std::int64_t values = count_values(kWho, {count, 2});
    Tensor points{{count, 2}, std::vector<float>(values)};
    for (std::int64_t i = 0; i < count; ++i) {
      const Point p = point_of(kind, draw(seed, i), s);
      points.data[2 * i] = static_cast<float>(p.x);
      points.data[2 * i + 1] = static_cast<float>(p.y);
    }
    return points;
  });
}

Standard standardise(Tensor& points) {
  constexpr const char* kWho = "standardise";
  return guarded(kWho, [&] {
    const std::int64_t columns = columns_of(kWho, points);
    Standard found;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double mean = mean_of(points, c, columns);
      const double deviation = deviation_of(points, c, columns, mean);
      require(std::isfinite(deviation) && deviation > 0, kWho, ": column ", c,
              " must vary and be finite; its deviation is ", deviation);
      found.mean.push_back(mean), found.deviation.push_back(deviation);
    }
    standardise(points, found);
    return found;
  });
}

void standardise(Tensor& points, const Standard& by) {
  constexpr const char* kWho = "standardise";
  const auto columns = static_cast<std::size_t>(columns_of(kWho, points));
  require(by.mean.size() == columns && by.deviation.size() == columns, kWho,
          ": mean and deviation must be of ", columns, " columns; got ", by.mean.size(), " and ",
          by.deviation.size());
  for (std::size_t i = 0; i < points.data.size(); ++i) {
    const std::size_t c = i % columns;
    points.data[i] = static_cast<float>((points.data[i] - by.mean[c]) / by.deviation[c]);
  }
}

}  // namespace rheo
