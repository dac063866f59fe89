#pragma once

#include <vector>

namespace zoo {

/// A divergence D(p || q) = E_q f(p / q) and what bounds it from below (Nowozin, Cseke and Tomioka
/// 2016, arXiv:1606.00709): E_p T - E_q f*(T) for any T, with equality at T = f'(p / q).
/// T = activation(v) brings any number v to where the conjugate f* is defined; f*(T) is in terms of
/// v, since near the end of where f* is defined T has no digits left to compute it from.
struct Divergence {
  const char* name;   ///< Of files.
  const char* title;  ///< For people.
  double (*f)(double u);
  double (*activation)(double v);
  double (*activation_slope)(double v);
  double (*conjugate)(double v);        ///< f*(activation(v))
  double (*conjugate_slope)(double v);  ///< By v.
};

/// All six: Kullback-Leibler, its reverse, Pearson's, squared Hellinger, Jensen-Shannon, and that
/// of generative adversarial networks, whose least value, at p = q, is -log 4 in place of 0.
const std::vector<Divergence>& divergences();

/// @throws std::out_of_range for a name that there is none of.
const Divergence& divergence(const char* name);

}  // namespace zoo
