#pragma once

#include <string>

#include "examples/generative_zoo/random.h"
#include "rheo/toy.h"

namespace zoo {

/// Points or images, [N, dims] each.
struct Data {
  std::string name;  ///< "moons" or "digits"
  int dims;
  Values train, test;
};

/// 20,000 and 10,000 points of two moons, each coordinate with mean 0 and deviation 1.
Data moons();

/// log p of points [N, 2] of the moons, with the noise and scale of `moons()`: the integral over
/// where on its half circle a point comes from, by the trapezoidal rule.
std::vector<double> moons_log_density(const Values& points);

/// 8x8 images of 0..16 from FOLDER/digits_train.npy and digits_test.npy, [N, 64] of uint8.
/// @throws rheo::Error bad_file.
Data digits(const std::string& folder);

/// Whether those files are there.
bool has_digits(const std::string& folder);

/// Two coordinates as bits: the cell of a square grid of 2^kGridBits a side that a point lies in,
/// in Gray code, so that neighbours differ in one bit.
constexpr int kGridBits = 6;
constexpr double kGridHalf = 2.5;  ///< The grid is [-2.5, 2.5]^2.
constexpr double kGridCell = 2 * kGridHalf / (1 << kGridBits);
Values to_bits(const Values& points);

/// The middles of the cells; with `random` places in them.
Values from_bits(const Values& bits, Random* random = nullptr);

}  // namespace zoo
