#include "src/model/impl.h"

#include <algorithm>
#include <cmath>

#include "src/check.h"

namespace rheo {
namespace {

const ModelConfig& validated(const ModelConfig& config) {
  config.validate();
  return config;
}

/// Vectors are few numbers, each of which counts, and little work.
Compute resolved(Compute compute, const ModelConfig& config) {
  const bool has_bf16 = compute.device.backend().has_bf16();
  if (compute.precision == Precision::automatic)
    compute.precision = has_bf16 && !config.is_vector() ? Precision::bf16 : Precision::f32;
  if (compute.precision == Precision::bf16 && !has_bf16)
    fail(Errc::unsupported, "Model: precision bf16 needs a processor with AVX512_BF16; this one (",
         compute.device.description(), ") has none; use f32");
  return compute;
}

}  // namespace

const char* item_of(const ModelConfig& config) {
  return config.is_vector() ? "vector" : "image";
}

Dtype network_type(const Compute& compute) {
  return compute.precision == Precision::bf16 ? Dtype::bf16 : Dtype::f32;
}

Model::Impl::Impl(const ModelConfig& wanted, const Compute& where)
    : config(validated(wanted)),
      compute(resolved(where, config)),
      queue(compute.device),
      layout(config, network_type(compute)),
      flow(config, layout, queue, network_type(compute)) {
  const DeviceScope scope(compute.device);
  const auto room = [&](std::int64_t count, std::size_t size, const char* what) {
    DeviceBuffer buffer(queue, static_cast<std::size_t>(count) * size, what);
    buffer.clear();
    return buffer;
  };
  parameters_ = room(layout.parameters, sizeof(float), "parameters");
  signs_ = room(layout.signs, sizeof(float), "signs");
  permutations_ = room(layout.permutations, sizeof(int), "permutations");
  folded_ = room(layout.folded, sizeof(float), "folded weights");
  packed_ = room(layout.packed_bytes, 1, "packed weights");
  log_det_ = room(static_cast<std::int64_t>(layout.mixes.size()), sizeof(double), "log-dets");
  workspace_ = room(layout.workspace, sizeof(double), "work space");
  const std::size_t mixes = layout.mixes.size() * sizeof(MixFold);
  const std::size_t products = layout.products.size() * sizeof(ProductFold);
  mixes_ = DeviceBuffer(queue, mixes, "descriptions");
  mixes_.upload(layout.mixes.data(), mixes);
  products_ = DeviceBuffer(queue, products, "descriptions");
  products_.upload(layout.products.data(), products);
  plan_packs();
  weight_bytes_ = queue.held();
}

void Model::Impl::plan_packs() {
  std::size_t bytes = 0;
  std::vector<std::size_t> places;
  for (const ProductFold& p : layout.products) {
    const char* weight = packed_.as<const char>() + p.matrix;
    packs_.push_back(
        {.in = p.stride, .out = p.rows, .type = p.type, .weight = weight, .packed = {}});
    places.push_back(bytes);
    bytes += (backend().packed_bytes(packs_.back()) + 63) / 64 * 64;
  }
  if (bytes == 0) return packs_.clear();
  places.push_back(bytes);
  packs_room_ = DeviceBuffer(queue, bytes, "packed weights");
  for (std::size_t i = 0; i < packs_.size(); ++i)
    if (places[i + 1] > places[i]) packs_[i].packed = packs_room_.as<char>() + places[i];
}

std::vector<float> Model::Impl::read(const ParameterInfo& tensor) const {
  std::vector<float> values(tensor.size);
  const std::size_t bytes = values.size() * sizeof(float), from = tensor.offset * sizeof(float);
  if (tensor.kind == ParameterInfo::Kind::permutation) {
    std::vector<int> indices(tensor.size);
    permutations_.download(indices.data(), bytes, from);
    std::copy(indices.begin(), indices.end(), values.begin());
  } else {
    const bool sign = tensor.kind == ParameterInfo::Kind::sign;
    (sign ? signs_ : parameters_).download(values.data(), bytes, from);
  }
  return values;
}

void Model::Impl::write(const ParameterInfo& tensor, const std::vector<float>& values) {
  const std::size_t bytes = values.size() * sizeof(float);
  if (tensor.kind == ParameterInfo::Kind::permutation) {
    const std::vector<int> indices(values.begin(), values.end());
    queue.copy(permutations_.as<int>() + tensor.offset, indices.data(), bytes);
  } else {
    const bool sign = tensor.kind == ParameterInfo::Kind::sign;
    float* to = (sign ? signs_ : parameters_).as<float>() + tensor.offset;
    queue.copy(to, values.data(), bytes);
  }
  changed();
}

WeightsArgs Model::Impl::weights_args() const {
  return {.mixes = mixes_.as<const MixFold>(),
          .products = products_.as<const ProductFold>(),
          .mix_count = static_cast<int>(layout.mixes.size()),
          .product_count = static_cast<int>(layout.products.size()),
          .parameters = parameters(),
          .signs = signs_.as<float>(),
          .permutations = permutations_.as<int>(),
          .folded = folded_.as<float>(),
          .packed = packed_.as<void>(),
          .log_det = log_det_.as<double>(),
          .workspace = workspace_.as<double>()};
}

Weights Model::Impl::weights() {
  if (!prepared_) prepare();
  prepared_ = true;
  return folded();
}

void Model::Impl::prepare() const {
  backend().weights_prepare(weights_args(), queue.stream());
  if (!packs_.empty())
    backend().pack(packs_.data(), static_cast<int>(packs_.size()), queue.stream());
}

Weights Model::Impl::folded() const {
  return {parameters(), folded_.as<float>(), packed_.as<void>(), log_det_.as<double>(),
          packs_.empty() ? nullptr : packs_.data()};
}

std::int64_t Model::Impl::batch_of(std::int64_t images, std::int64_t wanted) const {
  constexpr std::int64_t kRows = 16384;  // of the products: 64 images of 32x32 pixels
  const std::int64_t pixels = std::int64_t{layout.levels[0].height} * layout.levels[0].width;
  const std::int64_t fitting = std::max<std::int64_t>(1, kRows / pixels);
  return std::min(images, wanted > 0 ? wanted : fitting);
}

std::size_t Model::Impl::activation_bytes(std::int64_t images, Keep keep) const {
  Arena dry;
  flow.plan(dry, images, keep);
  return dry.used();
}

DeviceBuffer Model::Impl::activations(std::int64_t images, Keep keep) const {
  const auto bytes = [&](std::int64_t count) { return activation_bytes(count, keep); };
  try {
    return DeviceBuffer(queue, bytes(images), "activations");
  } catch (const Error& e) {
    if (e.code() != Errc::out_of_memory) throw;
  }
  const std::size_t free = backend().free_bytes();
  const std::int64_t fitting = largest_fitting(images - 1, free, bytes);
  fail(Errc::out_of_memory, backend().name, ": a batch of ", images, " needs ", bytes(images),
       " bytes for its activations and ", free, " are free; ",
       fitting ? "the largest batch that fits is " + std::to_string(fitting)
               : "not even one " + std::string(item_of(config)) + " fits: use a smaller model");
}

Model::Impl::BatchBytes Model::Impl::batch_bytes(std::int64_t images) const {
  const std::size_t values = static_cast<std::size_t>(images * config.dims()) * sizeof(float);
  return {values, values, static_cast<std::size_t>(images) * sizeof(int)};
}

const FlowBuffers& Model::Impl::room_for(std::int64_t images) {
  const BatchBytes bytes = batch_bytes(images);
  if (room_.bytes() < activation_bytes(images, Keep::nothing) || x_.bytes() < bytes.x) {
    release_room();  // first: what fails half-way leaves nothing, and a smaller batch may still fit
    DeviceBuffer x(queue, bytes.x, "x");
    DeviceBuffer latents(queue, bytes.latents, "latents");
    DeviceBuffer labels(queue, bytes.labels, "labels");
    room_ = activations(images, Keep::nothing);
    x_ = std::move(x), latents_ = std::move(latents), labels_ = std::move(labels);
  }
  Arena arena(room_.as<void>());
  return buffers_ = flow.plan(arena, images, Keep::nothing);
}

void Model::Impl::release_room() {
  forward_.reset(), inverse_.reset();
  buffers_ = {}, room_ = {}, x_ = {}, latents_ = {}, labels_ = {};
}

void Model::Impl::require_initialized(const char* who) const {
  require(initialized, who,
          ": ActNorm must be initialised from data first; call initialize or train");
}

Shape Model::Impl::shape_of(std::int64_t count) const {
  if (config.is_vector()) return {count, config.channels};
  return {count, config.height, config.width, config.channels};
}

void Model::Impl::require_images(const char* who, const Tensor& x) const {
  if (config.is_vector()) {
    const bool rows = x.shape.size() == 2 && x.shape[1] == config.channels;
    require(rows, who, ": x must be [N, ", config.channels, "], vectors; got ", to_string(x.shape));
    return require_finite(who, "x", x);
  }
  const bool fits = x.shape.size() == 4 && x.shape[1] == config.height &&
                    x.shape[2] == config.width && x.shape[3] == config.channels;
  require(fits, who, ": x must be [N, ", config.height, ", ", config.width, ", ", config.channels,
          "]; got ", to_string(x.shape));
  require_finite(who, "x", x);
}

void Model::Impl::require_finite(const char* who, const char* what, const Tensor& x) const {
  require(static_cast<std::int64_t>(x.data.size()) == count_values(who, x.shape), who, ": ", what,
          " must have as many values as the shape says; got ", x.data.size());
  const std::int64_t row = config.dims();
  for (std::size_t i = 0; i < x.data.size(); ++i)
    require(std::isfinite(x.data[i]), who, ": ", what, " must be finite; value ", i % row, " of ",
            item_of(config), " ", i / row, " is ", x.data[i]);
}

void Model::Impl::require_labels(const char* who, const Labels& labels, std::int64_t images,
                                 bool optional) const {
  if (config.classes == 0) {
    require(labels.empty(), who, ": labels were given to a model without classes");
    return;
  }
  require(optional || !labels.empty(), who, ": labels are missing; the model has ", config.classes,
          " classes");
  require(labels.empty() || static_cast<std::int64_t>(labels.size()) == images, who,
          ": labels must be one for each of ", count_of(images, "image"), "; got ", labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i)
    require(labels[i] >= 0 && labels[i] < config.classes, who, ": labels must be 0..",
            config.classes - 1, "; that of image ", i, " is ", labels[i]);
}

}  // namespace rheo
