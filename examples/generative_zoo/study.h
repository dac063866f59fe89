#pragma once

#include <functional>

#include "examples/generative_zoo/divergence.h"
#include "examples/generative_zoo/random.h"

namespace zoo {

/// Two densities on the line that everything is known of: p = 1/2 N(-1, 0.6^2) + 1/2 N(1, 0.6^2)
/// and q = N(0, 1.4^2).
double line_p(double x);
double line_q(double x);
Values line_p_points(std::int64_t count, Random& random);
Values line_q_points(std::int64_t count, Random& random);

/// D(p || q) of the two, by numerical integration.
double line_divergence(const Divergence& divergence);

/// E_p T - E_q f*(T) of the two for T = activation(v(x)), likewise.
double line_bound(const Divergence& divergence, const std::function<double(double)>& v);

/// What fake points are at `nearness` w from the moons p: (1 - w) N(0, I) + w p.
Values near_moons(double nearness, const Values& moons, std::int64_t count, Random& random);

/// The best discriminator, D(x) = p / (p + q), of points [N, 2] against those.
std::vector<double> best_discriminator(double nearness, const Values& points);

/// What it makes of the game, E_p log D + E_q log(1 - D), by the integral over the plane: -log 4 at
/// nearness 1.
double best_value(double nearness);

}  // namespace zoo
