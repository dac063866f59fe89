#include "kernels/weights.h"

#include "kernels/cpu/neighbours.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {
namespace {

/// L (unit lower) and U of one mix, in double, and room for two more matrices.
struct Factors {
  int n;
  double *lower, *upper;
  double* spare[2];

  Factors(const WeightsArgs& a, const MixFold& m)
      : n(m.channels),
        lower(a.workspace + m.room),
        upper(lower + n * n),
        spare{upper + n * n, upper + 2 * n * n} {
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        const std::int64_t k = std::int64_t{i} * n + j;
        lower[k] = i > j ? static_cast<double>(a.parameters[m.lower + k]) : i == j ? 1 : 0;
        upper[k] = i < j    ? static_cast<double>(a.parameters[m.upper + k])
                   : i == j ? math::mix_diagonal(a, m, i)
                            : 0;
      }
  }
};

/// M = Perm L U diag(exp(log_scale)): row i of W is row permutation[i] of L U.
void fold_mix(const WeightsArgs& a, const MixFold& m, const Factors& f) {
  const int n = f.n;
  for (int i = 0; i < n; ++i) {
    const int row = a.permutations[m.permutation + i];
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int k = 0; k <= (row < j ? row : j); ++k)
        sum += f.lower[row * n + k] * f.upper[k * n + j];
      a.folded[m.mix + i * n + j] = static_cast<float>(sum * math::mix_scale(a, m, j));
    }
  }
}

/// M^-1 = diag(exp(-log_scale)) U^-1 L^-1 Perm^T, a column of the identity at a time.
void invert_mix(const WeightsArgs& a, const MixFold& m, const Factors& f, double* x) {
  const int n = f.n;
  for (int column = 0; column < n; ++column) {
    const int one = a.permutations[m.permutation + column];  // Perm^T e_column
    for (int i = 0; i < n; ++i) {
      x[i] = i == one ? 1 : 0;
      for (int k = 0; k < i; ++k) x[i] -= f.lower[i * n + k] * x[k];
    }
    for (int i = n - 1; i >= 0; --i) {
      for (int k = i + 1; k < n; ++k) x[i] -= f.upper[i * n + k] * x[k];
      x[i] /= f.upper[i * n + i];
      a.folded[m.inverse + i * n + column] = static_cast<float>(x[i] / math::mix_scale(a, m, i));
    }
  }
}

/// M = Perm diag(exp(log_scale)) and M^-1 = diag(exp(-log_scale)) Perm^T.
void fold_permutation(const WeightsArgs& a, const MixFold& m) {
  const std::int64_t n = m.channels;
  float *mix = a.folded + m.mix, *inverse = a.folded + m.inverse;
  for (std::int64_t k = 0; k < n * n; ++k) mix[k] = inverse[k] = 0;
  for (int i = 0; i < m.channels; ++i) {
    const int j = a.permutations[m.permutation + i];
    const double scale = math::mix_scale(a, m, j);
    mix[i * n + j] = static_cast<float>(scale);
    inverse[j * n + i] = static_cast<float>(1 / scale);
  }
}

void prepare_mix(const WeightsArgs& a, const MixFold& m, double* log_det) {
  double sum = 0;
  for (int j = 0; j < m.channels; ++j) {
    a.folded[m.folded_bias + j] = math::mix_bias(a, m, j);
    sum += math::mix_log_det(a, m, j);
  }
  *log_det = sum * static_cast<double>(m.pixels);
  if (!m.has_factors()) return fold_permutation(a, m);
  const Factors f(a, m);
  fold_mix(a, m, f);
  invert_mix(a, m, f, f.spare[0]);
}

/// f(index into the matrix, index into the parameter, count) for the runs of output o's weights
/// that lie alike in both.
template <class F>
void for_each_run(const ProductFold& p, int o, const F& f) {
  const std::int64_t first = p.weight + std::int64_t{o} * p.taps * p.in;
  if (p.layout == ProductLayout::columns)
    return f(std::int64_t{o} * p.stride, first, p.taps * p.in);
  for (int t = 0; t < p.taps; ++t)
    f((std::int64_t{t} * p.out + o) * p.stride, first + std::int64_t{t} * p.in, p.in);
}

/// f(sees), where sees(i) tells whether output o sees input i: all of them where nothing is masked,
/// at no cost to the loops.
template <class F>
void with_mask(const ProductFold& p, int o, const F& f) {
  if (p.made == MadeLayer::none) return f([](int) { return true; });
  const math::MadeRow row = math::made_row(p, o);
  f([row](int in) { return row.sees(in); });
}

template <class T>
void fold_output(const WeightsArgs& a, const ProductFold& p, int o) {
  T* matrix = reinterpret_cast<T*>(static_cast<char*>(a.packed) + p.matrix);
  const float s = math::product_scale(a, p, o);
  const float* parameters = a.parameters;
  with_mask(p, o, [&](const auto& sees) {
    for_each_run(p, o, [=](std::int64_t to, std::int64_t from, int count) {
      for (int i = 0; i < count; ++i)
        store(matrix[to + i], sees(i) ? parameters[from + i] * s : 0.f);
    });
  });
  const float bias = a.parameters[p.bias + o] * s;
  if (p.linear_bias >= 0)
    store(reinterpret_cast<T*>(static_cast<char*>(a.packed) + p.linear_bias)[o], bias);
  if (p.layout == ProductLayout::taps) {
    a.folded[p.folded_bias + o] = bias;
    for (int t = 0; t < (p.edge < 0 ? 0 : p.taps); ++t)
      a.folded[p.folded_edge + t * p.out + o] = a.parameters[p.edge + o * p.taps + t] * s;
    return;
  }
  T* constant = matrix + std::int64_t{o} * p.stride + p.taps * p.in;
  T* end = matrix + std::int64_t{o + 1} * p.stride;
  store(*constant++, bias);
  for (int t = 0; t < (p.edge < 0 ? 0 : p.taps); ++t)
    store(*constant++, a.parameters[p.edge + o * p.taps + t] * s);
  while (constant < end) *constant++ = T(0);
}

/// Where the gradients of an output's bias and edges lie.
struct ConstantGradients {
  const float* bias;
  const float* edge;
  int edge_step;
};

ConstantGradients constant_gradients(const WeightsBackwardArgs& b, const ProductFold& p, int o) {
  if (p.layout == ProductLayout::taps)
    return {b.dfolded + p.folded_bias + o, b.dfolded + p.folded_edge + o, p.out};
  const float* row = b.dpacked + p.dmatrix + std::int64_t{o} * p.stride + p.taps * p.in;
  return {row, row + 1, 1};
}

/// d = gradient * s, and the sum of gradient * parameter in eight fixed lanes, of what is seen.
template <class Sees>
double pull(const float* gradient, const float* parameter, float s, int count, float* d,
            const Sees& sees) {
  double lanes[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int l = 0; l < 8; ++l) {
      const bool seen = sees(i + l);
      const double g = static_cast<double>(gradient[i + l]);
      lanes[l] += seen ? g * static_cast<double>(parameter[i + l]) : 0;
      d[i + l] = seen ? gradient[i + l] * s : 0;
    }
  double dot = 0;
  for (; i < count; ++i) {
    const bool seen = sees(i);
    dot += seen ? static_cast<double>(gradient[i]) * static_cast<double>(parameter[i]) : 0;
    d[i] = seen ? gradient[i] * s : 0;
  }
  for (double lane : lanes) dot += lane;
  return dot;
}

/// With s the scale: d(parameter) = s d(folded), dlog_scale = gain sum of d(folded) folded.
void output_backward(const WeightsBackwardArgs& b, const ProductFold& p, int o) {
  const WeightsArgs& a = b.forward;
  const float s = math::product_scale(a, p, o);
  const float* dmatrix = b.dpacked + p.dmatrix;
  double dot = 0;
  const auto add = [&](const float* gradient, std::int64_t parameter, int count, const auto& sees) {
    dot += pull(gradient, a.parameters + parameter, s, count, b.dparameters + parameter, sees);
  };
  with_mask(p, o, [&](const auto& sees) {
    for_each_run(
        p, o, [&](std::int64_t m, std::int64_t w, int count) { add(dmatrix + m, w, count, sees); });
  });
  const ConstantGradients constant = constant_gradients(b, p, o);
  const auto always = [](int) { return true; };
  add(constant.bias, p.bias + o, 1, always);
  for (int t = 0; t < (p.edge < 0 ? 0 : p.taps); ++t)
    add(constant.edge + t * constant.edge_step, p.edge + o * p.taps + t, 1, always);
  if (p.log_scale < 0) return;
  b.dparameters[p.log_scale + o] =
      static_cast<float>(static_cast<double>(p.gain) * static_cast<double>(s) * dot);
}

/// The formulas at the head of kernels/weights.h.
void mix_backward(const WeightsBackwardArgs& b, const MixFold& m) {
  if (!m.has_factors()) {
    for (int i = 0; m.has_actnorm() && i < m.channels; ++i) math::permutation_backward(b, m, i);
    return;
  }
  const WeightsArgs& a = b.forward;
  const Factors f(a, m);
  const int n = f.n;
  double *d = f.spare[0], *e = f.spare[1];
  const float *g = b.dfolded + m.mix, *mix = a.folded + m.mix, *sum = b.dfolded + m.folded_bias;
  const double constant = b.dlog_det * static_cast<double>(m.pixels);
  for (int j = 0; j < n; ++j) {
    const double scale = math::mix_scale(a, m, j);
    double dscale = constant, dbias = 0;
    for (int i = 0; i < n; ++i) {
      const double gij = static_cast<double>(g[i * n + j]);
      const double mij = static_cast<double>(mix[i * n + j]);
      dscale += mij * gij;
      dbias += mij * static_cast<double>(sum[i]);
      d[a.permutations[m.permutation + i] * n + j] = gij * scale;  // A = Perm^T dW
    }
    if (!m.has_actnorm()) continue;
    b.dparameters[m.log_scale + j] = static_cast<float>(dscale);
    b.dparameters[m.bias + j] = static_cast<float>(dbias);
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      double lower = 0, upper = 0;
      if (i > j)
        for (int k = j; k < n; ++k) lower += d[i * n + k] * f.upper[j * n + k];
      else
        for (int k = i; k < n; ++k) upper += f.lower[k * n + i] * d[k * n + j];
      e[i * n + j] = upper;
      b.dparameters[m.lower + i * n + j] = static_cast<float>(lower);
      b.dparameters[m.upper + i * n + j] = i < j ? static_cast<float>(upper) : 0.f;
    }
  for (int j = 0; j < n; ++j)
    b.dparameters[m.log_diagonal + j] =
        static_cast<float>(e[j * n + j] * f.upper[j * n + j] + constant);
}

/// Of all mixes: what has factors is multiplied and inverted, a term at a time.
std::int64_t mix_work(const WeightsArgs& a) {
  std::int64_t work = 0;
  for (int i = 0; i < a.mix_count; ++i) {
    const std::int64_t n = a.mixes[i].channels;
    work += n * n * (a.mixes[i].has_factors() ? n : 1) * kPerValue;
  }
  return work;
}

std::int64_t output_work(const WeightsArgs& a) {
  std::int64_t work = 0;
  for (int i = 0; i < a.product_count; ++i) {
    const ProductFold& p = a.products[i];
    work += std::int64_t{p.out} * p.taps * p.in * kPerValue;
  }
  return work;
}

/// f(product, output) on every output of every product: one parallel loop over eighths of products,
/// in an order that gives each thread its share of all of them.
template <class F>
void for_each_output(const WeightsArgs& a, const F& f) {
  constexpr int kShares = 8;
  parallel_for(std::int64_t{kShares} * a.product_count, output_work(a), [&](std::int64_t i) {
    const ProductFold& p = a.products[i % a.product_count];
    const std::int64_t share = i / a.product_count;
    for (std::int64_t o = p.out * share / kShares; o < p.out * (share + 1) / kShares; ++o)
      f(p, static_cast<int>(o));
  });
}

}  // namespace

void weights_prepare(const WeightsArgs& a, Stream) {
  parallel_for(a.mix_count, mix_work(a),
               [&](std::int64_t i) { prepare_mix(a, a.mixes[i], a.log_det + i); });
  for_each_output(a, [&](const ProductFold& p, int o) {
    p.type == Dtype::f32 ? fold_output<float>(a, p, o) : fold_output<std::uint16_t>(a, p, o);
  });
}

void weights_prepare_backward(const WeightsBackwardArgs& b, Stream) {
  parallel_for(b.forward.mix_count, mix_work(b.forward),
               [&](std::int64_t i) { mix_backward(b, b.forward.mixes[i]); });
  for_each_output(b.forward, [&](const ProductFold& p, int o) { output_backward(b, p, o); });
}

}  // namespace rheo::cpu::RHEO_ISA
