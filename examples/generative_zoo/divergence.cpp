#include "examples/generative_zoo/divergence.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>
#include <string>

#include "examples/generative_zoo/network.h"

namespace zoo {
namespace {

using std::exp, std::expm1, std::log, std::log1p, std::sqrt;
constexpr double kLog2 = std::numbers::ln2;

/// u log u, also where it ends.
double x_log_x(double u) {
  return u > 0 ? u * log(u) : 0;
}

const Divergence kAll[] = {
    {"kl", "Kullback-Leibler", x_log_x, [](double v) { return v; }, [](double) { return 1.; },
     [](double v) { return exp(v - 1); }, [](double v) { return exp(v - 1); }},
    {"reverse_kl", "reverse KL", [](double u) { return -log(u); },
     [](double v) { return -exp(-v); }, [](double v) { return exp(-v); },
     [](double v) { return v - 1; }, [](double) { return 1.; }},
    {"pearson", "Pearson chi-squared", [](double u) { return (u - 1) * (u - 1); },
     [](double v) { return v; }, [](double) { return 1.; },
     [](double v) { return v >= -2 ? v * v / 4 + v : -1; },
     [](double v) { return v >= -2 ? v / 2 + 1 : 0; }},
    {"hellinger", "squared Hellinger", [](double u) { return (sqrt(u) - 1) * (sqrt(u) - 1); },
     [](double v) { return -expm1(-v); }, [](double v) { return exp(-v); },
     [](double v) { return expm1(v); }, [](double v) { return exp(v); }},
    {"jensen_shannon", "Jensen-Shannon",
     [](double u) { return x_log_x(u) - (u + 1) * log((1 + u) / 2); },
     [](double v) { return kLog2 - softplus(-v); }, [](double v) { return sigmoid(-v); },
     [](double v) { return softplus(v) - kLog2; }, sigmoid},
    {"gan", "GAN", [](double u) { return x_log_x(u) - (u + 1) * log1p(u); },
     [](double v) { return -softplus(-v); }, [](double v) { return sigmoid(-v); }, softplus,
     sigmoid}};

}  // namespace

const std::vector<Divergence>& divergences() {
  static const std::vector<Divergence> all(std::begin(kAll), std::end(kAll));
  return all;
}

const Divergence& divergence(const char* name) {
  for (const Divergence& one : divergences())
    if (std::strcmp(one.name, name) == 0) return one;
  throw std::out_of_range(std::string("there is no divergence ") + name);
}

}  // namespace zoo
