#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "rheo/export.h"
#include "rheo/tensor.h"

namespace rheo {

/// Distributions in the plane that flows are shown on. u, v, w are uniform in (0, 1], a and b
/// standard normal, s is the noise; the formulas are scikit-learn's (make_moons, make_circles) and,
/// for the other four, those of FFJORD's toy data (Grathwohl et al. 2019, arXiv:1810.01367).
enum class Toy {
  moons,         ///< (cos t, sin t) or (1 - cos t, 1/2 - sin t), t = pi u, + s (a, b); s = 0.05.
  circles,       ///< r (cos t, sin t), r = 1 or 1/2, t = 2 pi u, + s (a, b); s = 0.08.
  checkerboard,  ///< Eight squares of side 2 in [-4, 4]^2, where floor(x/2) + floor(y/2) is even,
                 ///< + s (a, b); s = 0.
  spirals,       ///< +-(v/2 - t cos t, w/2 + t sin t) / 3, t = 3 pi sqrt(u), + s (a, b); s = 0.1.
  eight_gaussians,  ///< 2 sqrt(2) (cos t, sin t), t = k pi/4, + s (a, b); s = 1/sqrt(8).
  pinwheel,         ///< 2 (1 + 0.3 a, s b) turned by -(k 2 pi/5 + exp(0.3 a + 1) / 4); s = 0.1.
};

/// Their words, in the order of the enumeration: "moons" .. "pinwheel".
RHEO_API std::vector<std::string_view> toy_names();

/// @throws Error invalid_argument for an unknown word, naming all that there are.
RHEO_API Toy toy_from_name(std::string_view name);

/// The noise s of a kind unless said otherwise.
RHEO_API double usual_noise(Toy kind);

/// Points [count, 2] as the formulas have them, not standardised; the part of the picture that each
/// comes from is drawn too. Point i is a function of (kind, seed, i, noise) alone.
/// @throws Error invalid_argument unless count >= 1 and noise is finite and at least 0.
RHEO_API Tensor toy_points(Toy kind, std::int64_t count, std::uint64_t seed = 0,
                           std::optional<double> noise = {});

/// Of each column of a set of points.
struct Standard {
  std::vector<double> mean, deviation;
};

/// Makes mean 0 and standard deviation 1 (over N, not N - 1) of each column of points [N, D], and
/// returns what they were: a test set is brought to scale by its training set's.
/// @throws Error invalid_argument for another shape, or a column that is constant or not finite.
RHEO_API Standard standardise(Tensor& points);

/// (x - mean) / deviation by another set's numbers. @throws Error invalid_argument where they are
/// not of so many columns.
RHEO_API void standardise(Tensor& points, const Standard& by);

}  // namespace rheo
