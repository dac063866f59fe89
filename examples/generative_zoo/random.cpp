#include "examples/generative_zoo/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rheo/image.h"

namespace zoo {

Values Random::uniform(std::int64_t count) {
  // What dequantisation adds to black pixels of one bit: x = u / 2 - 1/2.
  const rheo::Pixels black{{1, 1, 1, count}, std::vector<std::uint8_t>(count)};
  Values values = rheo::dequantize(black, 1, rheo::Noise::uniform(seed_), calls_++).data;
  for (float& value : values) value = std::max(2 * value + 1, 0x1p-25f);
  return values;
}

Values Random::normal(std::int64_t count) {
  const std::int64_t pairs = (count + 1) / 2;
  Values values = uniform(2 * pairs);
  for (std::int64_t i = 0; i < 2 * pairs; i += 2) {  // Box and Muller 1958
    const float radius = std::sqrt(-2 * std::log(values[i]));
    const float angle = 2 * std::numbers::pi_v<float> * values[i + 1];
    values[i] = radius * std::cos(angle);
    values[i + 1] = radius * std::sin(angle);
  }
  values.resize(count);
  return values;
}

std::vector<std::int64_t> Random::indices(std::int64_t count, std::int64_t below) {
  std::vector<std::int64_t> drawn;
  for (const float u : uniform(count))
    drawn.push_back(std::min(below - 1, static_cast<std::int64_t>(u * static_cast<float>(below))));
  return drawn;
}

Values Random::rows_of(const Values& table, int width, std::int64_t count) {
  Values rows;
  rows.reserve(count * width);
  for (const std::int64_t row : indices(count, static_cast<std::int64_t>(table.size()) / width))
    rows.insert(rows.end(), table.begin() + row * width, table.begin() + (row + 1) * width);
  return rows;
}

Values Random::bernoulli(const Values& probabilities) {
  Values values = uniform(static_cast<std::int64_t>(probabilities.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i] <= probabilities[i] ? 1 : 0;
  return values;
}

}  // namespace zoo
