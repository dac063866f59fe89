#include "examples/generative_zoo/data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "examples/generative_zoo/network.h"
#include "rheo/error.h"
#include "rheo/npy.h"

namespace zoo {
namespace {

struct Moons {
  rheo::Tensor train = rheo::toy_points(rheo::Toy::moons, 20000, 0);
  rheo::Tensor test = rheo::toy_points(rheo::Toy::moons, 10000, 1);
  rheo::Standard standard = rheo::standardise(train);
};

Values read_images(const std::string& path) {
  const rheo::NpyArray file = rheo::read_npy(path);
  const auto* images = std::get_if<rheo::Array<std::uint8_t>>(&file);
  if (!images || images->shape.size() != 2 || images->shape[1] != 64)
    throw rheo::Error(rheo::Errc::bad_file, path + ": must be uint8 [N, 64]");
  return {images->data.begin(), images->data.end()};
}

}  // namespace

Data moons() {
  Moons moons;
  rheo::standardise(moons.test, moons.standard);
  return {"moons", 2, std::move(moons.train.data), std::move(moons.test.data)};
}

std::vector<double> moons_log_density(const Values& points) {
  static const rheo::Standard standard = Moons().standard;
  constexpr int kNodes = 400;  // a sixth of the noise apart
  const double noise = rheo::usual_noise(rheo::Toy::moons);
  const double scale = standard.deviation[0] * standard.deviation[1] /
                       (4 * std::numbers::pi * noise * noise * kNodes);
  std::vector<double> values;
  for (std::size_t r = 0; r < points.size(); r += 2) {
    const double x = double(points[r]) * standard.deviation[0] + standard.mean[0];
    const double y = double(points[r + 1]) * standard.deviation[1] + standard.mean[1];
    std::vector<double> terms;
    for (int k = 0; k <= kNodes; ++k) {
      const double t = std::numbers::pi * k / kNodes, c = std::cos(t), s = std::sin(t);
      const double end = k == 0 || k == kNodes ? std::log(0.5) : 0;
      const auto exponent = [&](double a, double b) {
        return end - ((x - a) * (x - a) + (y - b) * (y - b)) / (2 * noise * noise);
      };
      terms.push_back(exponent(c, s));
      terms.push_back(exponent(1 - c, 0.5 - s));
    }
    values.push_back(log_sum_exp(terms) + std::log(scale));
  }
  return values;
}

Data digits(const std::string& folder) {
  return {"digits", 64, read_images(folder + "/digits_train.npy"),
          read_images(folder + "/digits_test.npy")};
}

bool has_digits(const std::string& folder) {
  return std::filesystem::exists(folder + "/digits_train.npy");
}

Values to_bits(const Values& points) {
  Values bits;
  for (const float x : points) {
    const double cell = std::floor((double(x) + kGridHalf) / kGridCell);
    const auto index = static_cast<int>(std::clamp(cell, 0., double((1 << kGridBits) - 1)));
    for (int bit = 0; bit < kGridBits; ++bit)
      bits.push_back(static_cast<float>((index ^ index >> 1) >> bit & 1));
  }
  return bits;
}

Values from_bits(const Values& bits, Random* random) {
  const std::int64_t count = static_cast<std::int64_t>(bits.size()) / kGridBits;
  const Values places = random ? random->uniform(count) : Values(count, 0.5f);
  Values points;
  for (std::int64_t i = 0; i < count; ++i) {
    int index = 0;
    for (int bit = kGridBits; bit-- > 0;) {
      const int above = index & 1;  // Gray code undone from the highest bit down
      index = index << 1 | (above ^ static_cast<int>(bits[i * kGridBits + bit]));
    }
    points.push_back(static_cast<float>((index + double(places[i])) * kGridCell - kGridHalf));
  }
  return points;
}

}  // namespace zoo
