// Data-dependent initialisation: each layer on the output of its already initialised predecessors,
// over all images at once; only the wide hidden activations are made a chunk at a time.

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/model/impl.h"

namespace rheo {
namespace {

/// A smaller deviation counts as this, so that a constant channel cannot make a huge scale.
constexpr double kLeastDeviation = 1e-3;

/// Mean and spread over several chunks (Chan, Golub & LeVeque 1983).
struct Moments {
  std::vector<double> mean, deviation;
  double rows = 0;

  void add(const std::vector<double>& m, const std::vector<double>& d, double count) {
    mean.resize(m.size()), deviation.resize(m.size());
    for (std::size_t c = 0; c < m.size(); ++c) {
      const double delta = m[c] - mean[c], total = rows + count;
      mean[c] += delta * count / total;
      deviation[c] += d[c] + delta * delta * rows * count / total;
    }
    rows += count;
  }
};

/// Images at once: few, so that training's own activations take more.
std::int64_t chunk_of(const Model::Impl& model, std::int64_t images) {
  constexpr std::int64_t kRows = 4096;  // of the products: 16 images of 32x32 pixels
  const std::int64_t pixels = std::int64_t{model.config.height} * model.config.width / 4;
  return std::min(images, std::max<std::int64_t>(1, kRows / pixels));
}

/// What is made of images by the layers so far, in two places in turn, and one layer's sums.
struct Room {
  float *state, *next;  // [N, D]
  float* sums;          // [rows of a chunk, outputs]
  double* moments;      // [2, channels]
};

Room room_in(Arena& arena, const Model::Impl& model, std::int64_t images) {
  std::int64_t sums = 0, channels = model.config.hidden;
  for (const LevelLayout& level : model.layout.levels) {
    const Grid grid = {chunk_of(model, images), level.height, level.width};
    sums = std::max(sums, grid.pixels() * model.config.hidden);
    channels = std::max<std::int64_t>(channels, level.channels);
  }
  const std::int64_t values = images * model.config.dims();
  return {arena.take<float>(values), arena.take<float>(values), arena.take<float>(sums),
          arena.take<double>(2 * channels)};
}

std::size_t room_bytes(const Model::Impl& model, std::int64_t images) {
  Arena dry;
  room_in(dry, model, images);
  return dry.used();
}

class Initializer {
 public:
  Initializer(Model::Impl& model, std::int64_t images)
      : model_(model),
        queue_(model.queue),
        backend_(model.backend()),
        images_(images),
        chunk_(chunk_of(model, images)),
        memory_(queue_, room_bytes(model, images), "images") {
    Arena arena(memory_.as<void>());
    room_ = room_in(arena, model, images);
  }

  void run(const Tensor& x) {
    model_.changed();  // first: what was folded from the old weights is not to be trusted again
    queue_.copy(room_.state, x.data.data(), x.data.size() * sizeof(float));
    for (int l = 0; l < model_.layout.scales(); ++l) {
      const LevelLayout& level = model_.layout.levels[l];
      const Grid grid = {images_, level.height, level.width};
      FlowBuffers here;  // only for the squeeze's shape
      here.levels.resize(l + 1);
      here.levels[l].grid = grid;
      backend_.squeeze_forward(model_.flow.squeeze_of(here, l, room_.state, room_.next),
                               queue_.stream());
      std::swap(room_.state, room_.next);
      for (int k = 0; k < model_.config.steps; ++k) run_step(l, k, grid, room_.state);
    }
  }

 private:
  void run_step(int l, int k, const Grid& grid, float* state) {
    const int s = model_.flow.step_index(l, k);
    const MixFold& mix = model_.layout.mixes[s];
    Moments moments;
    add_moments(state, grid.pixels(), mix.channels, moments);
    set(mix.bias, mix.log_scale, moments);
    prepare(s);
    StepArgs step{};
    step.grid = grid, step.channels = mix.channels, step.from = step.to = state;
    const float* folded = model_.weights_args().folded;
    step.mix = folded + mix.mix, step.bias = folded + mix.folded_bias;
    backend_.step_forward(step, queue_.stream());
    for (int conv = 0; conv < 2; ++conv) run_conv(l, k, conv, state);
    for_each_chunk(l, k, state, [&](const FlowBuffers& b, float* part) {
      const Weights w = prepared();
      model_.flow.network(b, w, l, k);
      couple(b, w, l, k, part);
    });
  }

  /// Bias and scale of conv1 or conv2 from its raw sums: what its product gives while both are 0.
  void run_conv(int l, int k, int conv, float* state) {
    const int s = model_.flow.step_index(l, k);
    const ProductFold& product = model_.layout.conv(s, conv);
    zero(product.bias, product.out), zero(product.log_scale, product.out);
    prepare(s);
    Moments moments;
    for_each_chunk(l, k, state, [&](const FlowBuffers& b, float*) {
      model_.flow.for_each_part(b.levels[l].grid, [&](const Rows& rows) {
        make_sums(b, l, k, conv, rows);
        add_moments(room_.sums, rows.count, product.out, moments);
      });
    });
    set(product.bias, product.log_scale, moments);
    prepare(s);
  }

  /// Raw sums of conv1 or conv2, of some rows.
  void make_sums(const FlowBuffers& b, int l, int k, int conv, const Rows& rows) {
    const ProductFold& product = model_.layout.conv(model_.flow.step_index(l, k), conv);
    const Columns& columns = b.levels[l].steps[k].columns;
    const Hidden hidden = model_.flow.hidden_of(b, l, k, rows);
    const Weights w = prepared();
    if (conv == 1) model_.flow.network_part(b, w, l, k, rows, hidden, 1);
    backend_.linear_forward(
        {.rows = rows.count,
         .in = product.stride,
         .out = product.out,
         .type = product.type,
         .x = conv == 0 ? at(columns.data, columns.type, rows.first * columns.stride) : hidden.h[0],
         .weight = static_cast<const char*>(w.packed) + product.matrix,
         .packed = nullptr,
         .bias = nullptr,
         .relu = false,
         .y_type = Dtype::f32,
         .y = room_.sums,
         .mask = nullptr},
        queue_.stream());
  }

  /// f(buffers, the chunk's state) for each chunk, with the columns of step k made.
  template <class F>
  void for_each_chunk(int l, int k, float* state, const F& f) {
    const LevelLayout& level = model_.layout.levels[l];
    const std::int64_t image = std::int64_t{level.height} * level.width * level.channels;
    for (std::int64_t first = 0; first < images_; first += chunk_) {
      const FlowBuffers& b = model_.room_for(std::min(chunk_, images_ - first));
      StepArgs step{};
      step.grid = b.levels[l].grid, step.channels = level.channels;
      step.from = state + first * image;
      step.columns = b.levels[l].steps[k].columns;
      backend_.step_forward(step, queue_.stream());
      f(b, state + first * image);
    }
  }

  void couple(const FlowBuffers& b, const Weights& w, int l, int k, float* state) {
    StepArgs step{};
    step.grid = b.levels[l].grid, step.channels = model_.layout.levels[l].channels;
    step.from = step.to = state;
    model_.flow.couple(step, b, w, l, k);
    step.log_det = b.partials;
    backend_.step_forward(step, queue_.stream());
  }

  void add_moments(const float* x, std::int64_t rows, int channels, Moments& moments) {
    double* mean = room_.moments;
    backend_.moments_of_channels({x, rows, channels, channels, mean, mean + channels},
                                 queue_.stream());
    std::vector<double> values(channels * 2);
    queue_.download(values.data(), mean, values.size() * sizeof(double));
    moments.add({values.begin(), values.begin() + channels},
                {values.begin() + channels, values.end()}, static_cast<double>(rows));
  }

  void set(std::int64_t bias, std::int64_t log_scale, const Moments& moments) {
    const std::size_t n = moments.mean.size();
    std::vector<float> b(n), s(n);
    for (std::size_t c = 0; c < n; ++c) {
      const double sd = std::sqrt(moments.deviation[c] / moments.rows);
      b[c] = static_cast<float>(-moments.mean[c]);
      s[c] = static_cast<float>(-std::log(std::max(sd, kLeastDeviation) + 1e-6));
    }
    queue_.copy(model_.parameters() + bias, b.data(), n * sizeof(float));
    queue_.copy(model_.parameters() + log_scale, s.data(), n * sizeof(float));
  }

  void zero(std::int64_t offset, int count) {
    queue_.clear(model_.parameters() + offset, count * sizeof(float));
  }

  /// Folds step `s` alone.
  void prepare(int s) {
    WeightsArgs a = model_.weights_args();
    a.mixes += s, a.mix_count = 1, a.log_det += s;
    a.products += 3 * s, a.product_count = 3;
    backend_.weights_prepare(a, queue_.stream());
  }

  Weights prepared() const {
    const WeightsArgs a = model_.weights_args();
    return {a.parameters, a.folded, a.packed, a.log_det, nullptr};
  }

  Model::Impl& model_;
  const Queue& queue_;
  const Backend& backend_;
  std::int64_t images_, chunk_;
  DeviceBuffer memory_;
  Room room_{};
};

}  // namespace

void initialize_from(Model::Impl& model, const Tensor& x) {
  if (!model.layout.has_actnorm()) return;
  Initializer(model, x.shape[0]).run(x);
}

std::size_t initialization_bytes(const Model::Impl& model, std::int64_t images) {
  if (!model.layout.has_actnorm()) return 0;
  const std::int64_t chunk = chunk_of(model, images);
  return room_bytes(model, images) + model.batch_bytes(chunk).all() +
         model.activation_bytes(chunk, Keep::nothing);
}

}  // namespace rheo
