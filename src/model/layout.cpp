#include "src/model/layout.h"

#include "kernels/step.h"

namespace rheo {
namespace {

std::int64_t take(std::int64_t& end, std::int64_t size, std::int64_t multiple = 1) {
  const std::int64_t at = (end + multiple - 1) / multiple * multiple;
  end = at + size;
  return at;
}

std::string under(const std::string& folder, const char* name) {
  return folder + "." + name;
}

}  // namespace

Layout::Layout(const ModelConfig& config, Dtype network) {
  std::vector<ProductFold> splits;
  for (int l = 0; l < config.levels; ++l) {
    const int channels = config.channels * 4 << l;
    const LevelLayout level = {config.height >> (l + 1), config.width >> (l + 1), channels,
                               l + 1 < config.levels,
                               columns_stride(9, channels / 2, config.edge_bias)};
    levels.push_back(level);
    const std::string name = "levels." + std::to_string(l);
    for (int k = 0; k < config.steps; ++k)
      add_step(config, level, name + ".steps." + std::to_string(k), network);
    // The split's convolution is always float32: its output is part of the density.
    if (level.has_split)
      splits.push_back(product(name + ".split", channels, 9, channels / 2, config.edge_bias, 3.f,
                               ProductLayout::columns, Dtype::f32));
  }
  products.insert(products.end(), splits.begin(), splits.end());
  const std::int64_t top = levels.back().channels;
  const Shape rows = config.classes ? Shape{config.classes, top} : Shape{top};
  prior_mean = add("prior.mean", rows);
  prior_log_sd = add("prior.log_sd", rows);
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

void Layout::add_step(const ModelConfig& config, const LevelLayout& level, const std::string& name,
                      Dtype network) {
  const int half = level.channels / 2, hidden = config.hidden;
  const int out = config.coupling == Coupling::affine ? level.channels : half;
  const std::string coupling = under(name, "coupling");
  mixes.push_back(mix(level, name));
  products.push_back(product(under(coupling, "conv1"), hidden, 9, half, config.edge_bias, 1.f,
                             ProductLayout::columns, network));
  products.push_back(product(under(coupling, "conv2"), hidden, 1, hidden, false, 1.f,
                             ProductLayout::taps, network));
  products.push_back(product(under(coupling, "conv3"), out, 9, hidden, config.edge_bias, 3.f,
                             ProductLayout::taps, network));
}

MixFold Layout::mix(const LevelLayout& level, const std::string& name) {
  using Kind = ParameterInfo::Kind;
  const std::int64_t c = level.channels;
  const std::string actnorm = under(name, "actnorm"), invconv = under(name, "invconv");
  MixFold m{};
  m.bias = add(under(actnorm, "bias"), {c});
  m.log_scale = add(under(actnorm, "log_scale"), {c});
  m.lower = add(under(invconv, "lower"), {c, c});
  m.upper = add(under(invconv, "upper"), {c, c});
  m.log_diagonal = add(under(invconv, "log_diagonal"), {c});
  m.sign = add(under(invconv, "sign"), {c}, Kind::sign);
  m.permutation = add(under(invconv, "permutation"), {c}, Kind::permutation);
  m.mix = take(folded, c * c, 16);
  m.inverse = take(folded, c * c, 16);
  m.sum = take(folded, c, 16);
  m.room = take(workspace, 4 * c * c);
  m.channels = level.channels;
  m.pixels = std::int64_t{level.height} * level.width;
  return m;
}

ProductFold Layout::product(const std::string& name, int out, int taps, int in, bool edge,
                            float gain, ProductLayout layout, Dtype type) {
  ProductFold p{};
  const Shape shape = taps == 1 ? Shape{out, in} : Shape{out, 3, 3, in};
  p.weight = add(under(name, "weight"), shape);
  p.bias = add(under(name, "bias"), {out});
  p.log_scale = add(under(name, "log_scale"), {out});
  p.edge = edge ? add(under(name, "edge"), {out, 3, 3}) : -1;
  p.out = out, p.taps = taps, p.in = in, p.gain = gain, p.layout = layout, p.type = type;
  const bool columns = layout == ProductLayout::columns;
  p.stride = columns ? columns_stride(taps, in, edge) : in;
  const std::int64_t size = std::int64_t{columns ? out : taps * out} * p.stride;
  p.matrix = take(packed_bytes, size * size_of(type), 64);
  // conv2's bias is the product's own; conv3's waits for the gather, conv1's has a column.
  const bool linear = !columns && taps == 1;
  p.linear_bias = linear ? take(packed_bytes, std::int64_t{out} * size_of(type), 64) : -1;
  p.dmatrix = take(dpacked, size, 16);
  p.folded_bias = columns ? -1 : take(folded, out, 16);
  p.folded_edge = columns || !edge ? -1 : take(folded, std::int64_t{taps} * out, 16);
  return p;
}

}  // namespace rheo
