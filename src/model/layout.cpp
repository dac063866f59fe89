#include "src/model/layout.h"

#include <algorithm>

#include "kernels/step.h"

namespace rheo {
namespace {

std::int64_t take(std::int64_t& end, std::int64_t size, std::int64_t multiple = 1) {
  const std::int64_t at = (end + multiple - 1) / multiple * multiple;
  end = at + size;
  return at;
}

/// A name of one step of the flow, without the tensor's.
std::string step_name(const ModelConfig& config, int level, int step) {
  const std::string steps = "steps." + std::to_string(step);
  return config.is_vector() ? steps : "levels." + std::to_string(level) + "." + steps;
}

}  // namespace

Layout::Layout(const ModelConfig& config, Dtype network) {
  add_levels(config);
  std::vector<ProductFold> splits;
  for (int l = 0; l < scales(); ++l) {
    const LevelLayout& level = levels[l];
    for (int k = 0; k < config.steps; ++k) {
      const std::string step = step_name(config, l, k);
      mixes.push_back(mix(config, level, step));
      add_network(config, level, step, network);
    }
    // The split's convolution is always float32: its output is part of the density.
    if (level.has_split && config.family == Family::glow)
      splits.push_back(product({.name = "levels." + std::to_string(l) + ".split",
                                .out = level.channels,
                                .taps = 9,
                                .in = level.channels / 2,
                                .log_scale = true,
                                .edge = config.edge_bias,
                                .gain = 3.f,
                                .layout = ProductLayout::columns,
                                .type = Dtype::f32,
                                .last = true,
                                .made = MadeLayer::none,
                                .made_dims = 0}));
  }
  products.insert(products.end(), splits.begin(), splits.end());
  add_priors(config);
}

void Layout::add_levels(const ModelConfig& config) {
  for (int l = 0; l < std::max(1, config.levels); ++l) {
    const bool vector = config.is_vector();
    LevelLayout level{};
    level.height = vector ? 1 : config.height >> (l + 1);
    level.width = vector ? 1 : config.width >> (l + 1);
    level.channels = vector ? config.channels : config.channels * 4 << l;
    level.has_split = l + 1 < config.levels;
    level.taps = vector ? 1 : 9;
    level.passed = config.is_autoregressive() ? 0 : (level.channels + 1) / 2;
    level.moved = level.channels - level.passed;
    level.seen = config.is_autoregressive() ? level.channels : level.passed;
    level.columns_stride = columns_stride(level.taps, level.seen, config.edge_bias);
    levels.push_back(level);
  }
}

void Layout::add_priors(const ModelConfig& config) {
  added = parameters;
  // Glow's couplings with a learned gain keep it beside the rest, so that one clear serves all.
  if (config.coupling == Coupling::affine && config.scale == Scale::tanh &&
      !config.is_autoregressive()) {
    gains = added;
    for (int l = 0; l < scales(); ++l)
      for (int k = 0; k < config.steps; ++k) add(step_name(config, l, k) + ".coupling.gain", {1});
  }
  const std::int64_t top = levels.back().channels;
  const Shape rows = config.classes ? Shape{config.classes, top} : Shape{top};
  if (config.family == Family::glow) prior_mean = add("prior.mean", rows);
  if (config.family == Family::glow || config.family == Family::nice)
    prior_log_sd = add("prior.log_sd", rows);
  zeros = take(folded, top, 16);
  if (config.is_autoregressive()) discarded = take(folded, 2 * top, 16);
}

std::int64_t Layout::add(const std::string& name, const Shape& shape, ParameterInfo::Kind kind) {
  std::int64_t size = 1;
  for (std::int64_t extent : shape) size *= extent;
  std::int64_t& end = kind == ParameterInfo::Kind::trainable ? parameters
                      : kind == ParameterInfo::Kind::sign    ? signs
                                                             : permutations;
  const std::int64_t offset = take(end, size);
  tensors.push_back({name, shape, kind, offset, size});
  return offset;
}

void Layout::add_network(const ModelConfig& config, const LevelLayout& level,
                         const std::string& step, Dtype network) {
  const bool vector = config.is_vector(), made = config.is_autoregressive();
  const int moved = config.coupling == Coupling::affine ? 2 * level.moved : level.moved;
  const std::string name = step + (made ? ".made" : ".coupling") + (vector ? ".linear" : ".conv");
  Part part = {.name = name + "1",
               .out = config.hidden,
               .taps = level.taps,
               .in = level.seen,
               .log_scale = !vector,
               .edge = config.edge_bias,
               .gain = 1.f,
               .layout = ProductLayout::columns,
               .type = network,
               .last = false,
               .made = made ? MadeLayer::input : MadeLayer::none,
               .made_dims = made ? level.channels : 0};
  products.push_back(product(part));
  part.name = name + "2", part.in = config.hidden, part.taps = 1, part.edge = false;
  part.layout = ProductLayout::taps, part.made = made ? MadeLayer::hidden : MadeLayer::none;
  products.push_back(product(part));
  part.name = name + "3", part.out = moved, part.taps = level.taps, part.edge = config.edge_bias;
  // MADE returns mu and alpha where (x + shift) e^raw wants their negatives.
  part.gain = made ? -1.f : vector ? 1.f : 3.f;
  part.last = true, part.made = made ? MadeLayer::output : MadeLayer::none;
  products.push_back(product(part));
}

MixFold Layout::mix(const ModelConfig& config, const LevelLayout& level, const std::string& step) {
  using Kind = ParameterInfo::Kind;
  const std::int64_t c = level.channels;
  MixFold m{};
  m.bias = m.log_scale = m.lower = m.upper = m.log_diagonal = m.sign = -1;
  if (!config.is_vector()) {
    m.bias = add(step + ".actnorm.bias", {c});
    m.log_scale = add(step + ".actnorm.log_scale", {c});
  }
  if (config.permutation == Permutation::lu) {
    m.lower = add(step + ".invconv.lower", {c, c});
    m.upper = add(step + ".invconv.upper", {c, c});
    m.log_diagonal = add(step + ".invconv.log_diagonal", {c});
    m.sign = add(step + ".invconv.sign", {c}, Kind::sign);
    m.permutation = add(step + ".invconv.permutation", {c}, Kind::permutation);
    m.room = take(workspace, 4 * c * c);
  } else {
    m.permutation = add(step + ".permutation", {c}, Kind::permutation);
  }
  m.mix = take(folded, c * c, 16);
  m.inverse = take(folded, c * c, 16);
  m.folded_bias = take(folded, c, 16);
  m.channels = level.channels;
  m.pixels = std::int64_t{level.height} * level.width;
  return m;
}

ProductFold Layout::product(const Part& part) {
  const auto [name, out, taps, in, log_scale, edge, gain, layout, type, last, made, made_dims] =
      part;
  ProductFold p{};
  const Shape shape = taps == 1 ? Shape{out, in} : Shape{out, 3, 3, in};
  p.weight = add(name + ".weight", shape);
  p.bias = add(name + ".bias", {out});
  p.log_scale = log_scale ? add(name + ".log_scale", {out}) : -1;
  p.edge = edge ? add(name + ".edge", {out, 3, 3}) : -1;
  p.out = out, p.taps = taps, p.in = in, p.gain = gain, p.layout = layout, p.type = type;
  p.made = made, p.made_dims = made_dims;
  const bool columns = layout == ProductLayout::columns;
  p.rows = columns ? out : last ? taps_stride(taps, out) : taps * out;
  p.stride = columns ? columns_stride(taps, in, edge) : in;
  const std::int64_t size = std::int64_t{p.rows} * p.stride;
  p.matrix = take(packed_bytes, size * size_of(type), 64);
  // The first product's bias has a column, the last one's waits for the gather.
  const bool linear = !columns && !last;
  p.linear_bias = linear ? take(packed_bytes, std::int64_t{out} * size_of(type), 64) : -1;
  p.dmatrix = take(dpacked, size, 16);
  p.folded_bias = columns ? -1 : take(folded, out, 16);
  p.folded_edge = columns || !edge ? -1 : take(folded, std::int64_t{taps} * out, 16);
  return p;
}

}  // namespace rheo
