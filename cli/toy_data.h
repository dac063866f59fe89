#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rheo/tensor.h"
#include "rheo/toy.h"

namespace CLI {
class App;
}

namespace rheo::cli {

/// What goes with DATA toy:KIND.
struct ToyFlags {
  std::optional<std::int64_t> points;  ///< 20,000.
  std::optional<double> noise;         ///< The kind's usual.
  std::optional<std::uint64_t> seed;   ///< 0.

  bool given() const { return points || noise || seed; }
};

void add_toy_flags(CLI::App& app, ToyFlags& flags);

/// Whether DATA is drawn, not read: "toy:moons".
bool is_toy(const std::string& data);

/// Points brought to scale by mean and deviation of the first 20,000 of seed 0, whatever theirs is:
/// so all sets of a kind and noise are draws from one distribution.
Tensor standard_toy(Toy kind, const ToyFlags& flags);

/// Of "toy:KIND". @throws Error invalid_argument for an unknown kind.
Tensor toy_from_data(const std::string& data, const ToyFlags& flags);

}  // namespace rheo::cli
