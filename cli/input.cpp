#include "cli/input.h"

#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

/// Of x at once, near 64 MB.
constexpr std::int64_t kValues = 1 << 24;

/// Of `array`, as x or pixels [N, H, W, C].
template <class T>
void check_shape(const std::string& path, const Array<T>& array, const ModelConfig& config) {
  const Shape& s = array.shape;
  const bool fits = s.size() == 4 && s[0] > 0 && s[1] == config.height && s[2] == config.width &&
                    s[3] == config.channels;
  if (!fits)
    fail(Errc::bad_file,
         "{}: images must be [N, {}, {}, {}] with N > 0, as the model has them; got [{}]", path,
         config.height, config.width, config.channels, fmt::join(s, ", "));
}

void check_finite(const std::string& path, const Tensor& x) {
  const auto bad = std::find_if_not(x.data.begin(), x.data.end(),
                                    [](float value) { return std::isfinite(value); });
  if (bad != x.data.end())
    fail(Errc::bad_file, "{}: every value must be finite; got {} in image {}", path, *bad,
         (bad - x.data.begin()) * x.shape[0] / static_cast<std::ptrdiff_t>(x.data.size()));
}

// In the order of NpyArray.
constexpr const char* kTypeNames[] = {"uint8", "int32", "int64", "float32", "float64"};

template <class T>
Array<T> rows(const Array<T>& all, std::int64_t first, std::int64_t count) {
  Array<T> part{all.shape, {}};
  const std::int64_t row = static_cast<std::int64_t>(all.data.size()) / all.shape[0];
  part.shape[0] = count;
  part.data.assign(all.data.begin() + first * row, all.data.begin() + (first + count) * row);
  return part;
}

}  // namespace

void add_input_flags(CLI::App& app, InputFlags& flags) {
  add_data_flags(app, flags.data);
  app.add_option("--input", flags.input,
                 "In place of DATA: .npy [N, H, W, C], floats taken as dequantised (from -0.5 to "
                 "0.5), or uint8; of vectors float32 or float64 [N, D]");
  add_noise_flags(app, flags.noise);
}

Input::Input(const InputFlags& flags, const ModelConfig& config, ProgressLine& progress)
    : path_(flags.input.empty() ? flags.data.path : flags.input),
      noise_(make_noise(flags.noise)),
      config_(config) {
  if (flags.input.empty() == flags.data.path.empty()) misuse("DATA", "give either DATA or --input");
  require_pixels(config, flags.noise);
  if (flags.input.empty())
    take_data(flags, config, progress);
  else
    take_npy(flags, config);
}

void Input::take_data(const InputFlags& flags, const ModelConfig& config, ProgressLine& progress) {
  const Dataset data = open_data_for(config, flags.data, progress.count("reading"));
  if (data.is_points())
    images_ = data.points();
  else
    images_ = data.images();
  if (config.classes) labels_ = data.labels();
}

void Input::take_npy(const InputFlags& flags, const ModelConfig& config) {
  if (flags.data.fit != Fit::refuse || flags.data.height || flags.data.toy.given())
    misuse("--input",
           "is taken as it is: --size, --crop, --pad, --resize, --points, --toy-noise and "
           "--toy-seed go with DATA");
  if (config.is_vector()) return take_vectors(flags, config);
  NpyArray array = read_npy(flags.input);
  if (auto* pixels = std::get_if<Pixels>(&array)) {
    if (pixels->shape.size() == 3) pixels->shape.push_back(1);
    check_shape(flags.input, *pixels, config);
    images_ = std::move(*pixels);
  } else if (auto x = floats_in(array)) {
    check_shape(flags.input, *x, config);
    check_finite(flags.input, *x);
    images_ = std::move(*x);
  } else {
    fail(Errc::bad_file, "{}: must be uint8, float32 or float64; got {}", flags.input,
         type_name(array));
  }
  if (!flags.data.labels.empty()) labels_ = read_labels_for(config, flags.data.labels, size());
}

void Input::take_vectors(const InputFlags& flags, const ModelConfig& config) {
  if (!flags.data.labels.empty()) read_labels_for(config, flags.data.labels, 0);
  const Dataset data = Dataset::open(flags.input);
  require_fitting(config, flags.input, data);
  images_ = data.points();
}

std::optional<Tensor> floats_in(NpyArray& array) {
  if (auto* floats = std::get_if<Tensor>(&array)) return std::move(*floats);
  const auto* doubles = std::get_if<Array<double>>(&array);
  if (!doubles) return {};
  return Tensor{doubles->shape, {doubles->data.begin(), doubles->data.end()}};
}

const char* type_name(const NpyArray& array) {
  return kTypeNames[array.index()];
}

std::int64_t Input::size() const {
  return std::visit([](const auto& array) { return array.shape[0]; }, images_);
}

Tensor Input::images(std::int64_t first, std::int64_t count) const {
  if (const auto* x = std::get_if<Tensor>(&images_)) return rows(*x, first, count);
  return dequantize(rows(std::get<Pixels>(images_), first, count), config_.n_bits, noise_, first);
}

Labels Input::labels(std::int64_t first, std::int64_t count) const {
  if (labels_.empty()) return {};
  return {labels_.begin() + first, labels_.begin() + first + count};
}

std::int64_t Input::part() const {
  return std::clamp<std::int64_t>(kValues / config_.dims(), 1, 1024);
}

Labels read_labels_for(const ModelConfig& config, const std::string& path, std::int64_t count) {
  if (config.classes == 0)
    fail(Errc::invalid_argument, "--labels {}: the model has no classes; leave it out", path);
  return read_labels(path, count, config.classes);
}

void require_labels(const ModelConfig& config, const Labels& labels, const std::string& path) {
  if (config.classes && labels.empty())
    fail(Errc::invalid_argument,
         "{}: has no labels, and a model with {} classes needs them; give --labels", path,
         config.classes);
}

}  // namespace rheo::cli
