#include "cli/toy_data.h"

#include <CLI/App.hpp>

#include "cli/failure.h"
#include "cli/options.h"

namespace rheo::cli {

namespace {

constexpr std::string_view kPrefix = "toy:";
constexpr std::int64_t kPoints = 20000;

}  // namespace

void add_toy_flags(CLI::App& app, ToyFlags& flags) {
  app.add_option("--points", flags.points, "Of DATA toy:KIND")
      ->check(within(1, 1e9))
      ->default_str(std::to_string(kPoints))
      ->group("Data");
  app.add_option("--toy-noise", flags.noise, "Of DATA toy:KIND, as rheo toy has it")
      ->check(within(0, 1e6))
      ->default_str("the kind's")
      ->group("Data");
  app.add_option("--toy-seed", flags.seed, "Of DATA toy:KIND, to draw other points")
      ->check(within(0, kLargestSeed))
      ->default_str("0")
      ->group("Data");
}

bool is_toy(const std::string& data) {
  return data.starts_with(kPrefix);
}

Tensor standard_toy(Toy kind, const ToyFlags& flags) {
  Tensor usual = toy_points(kind, kPoints, 0, flags.noise);
  const Standard standard = standardise(usual);
  Tensor points =
      toy_points(kind, flags.points.value_or(kPoints), flags.seed.value_or(0), flags.noise);
  standardise(points, standard);
  return points;
}

Tensor toy_from_data(const std::string& data, const ToyFlags& flags) {
  try {
    return standard_toy(toy_from_name(std::string_view(data).substr(kPrefix.size())), flags);
  } catch (const Error& error) {
    if (error.code() != Errc::invalid_argument) throw;
    fail(Errc::invalid_argument, "{}: {}", data, error.what());
  }
}

}  // namespace rheo::cli
