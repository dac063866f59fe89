#include "src/data/fit.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "src/check.h"

namespace rheo {
namespace {

/// What one value along an axis is made of: weights of neighbours from `first` on.
struct Mix {
  std::int64_t first;
  std::vector<float> weights;
};

/// Each target covers from/to source values, the outer two in part.
Mix area_mix(std::int64_t i, std::int64_t from, std::int64_t to) {
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  const double begin = static_cast<double>(i) * ratio, end = begin + ratio;
  Mix mix{static_cast<std::int64_t>(begin), {}};
  for (std::int64_t j = mix.first; j < from && static_cast<double>(j) < end; ++j) {
    const double left = std::max(begin, static_cast<double>(j));
    const double right = std::min(end, static_cast<double>(j + 1));
    mix.weights.push_back(static_cast<float>(std::max(0.0, right - left) / ratio));
  }
  return mix;
}

/// The two sources beside the target's centre; the outermost is repeated.
Mix linear_mix(std::int64_t i, std::int64_t from, std::int64_t to) {
  const double centre =
      (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
  const double at = std::clamp(centre, 0.0, static_cast<double>(from - 1));
  const std::int64_t first = std::min(static_cast<std::int64_t>(at), from - 1);
  const auto second = static_cast<float>(at - static_cast<double>(first));
  if (first + 1 == from) return {first, {1.f}};
  return {first, {1.f - second, second}};
}

std::vector<Mix> mixes_of(std::int64_t from, std::int64_t to) {
  std::vector<Mix> mixes;
  for (std::int64_t i = 0; i < to; ++i) {
    mixes.push_back(to < from ? area_mix(i, from, to) : linear_mix(i, from, to));
  }
  return mixes;
}

/// Rows first, then columns: separable, so its cost does not grow with the square of the ratio.
class Resizer {
 public:
  Resizer(Size from, Size to, std::int64_t channels)
      : from_(from),
        to_(to),
        channels_(channels),
        rows_(mixes_of(from.height, to.height)),
        columns_(mixes_of(from.width, to.width)),
        line_(static_cast<std::size_t>(from.width * channels)) {}

  void operator()(const std::uint8_t* source, std::uint8_t* target) {
    for (std::int64_t y = 0; y < to_.height; ++y) {
      mix_rows(source, rows_[static_cast<std::size_t>(y)]);
      for (std::int64_t x = 0; x < to_.width; ++x) {
        const Mix& mix = columns_[static_cast<std::size_t>(x)];
        for (std::int64_t c = 0; c < channels_; ++c) *target++ = mixed(mix, c);
      }
    }
  }

 private:
  void mix_rows(const std::uint8_t* source, const Mix& mix) {
    std::fill(line_.begin(), line_.end(), 0.f);
    const std::uint8_t* row = source + mix.first * from_.width * channels_;
    for (const float weight : mix.weights) {
      for (float& value : line_) value += weight * static_cast<float>(*row++);
    }
  }

  std::uint8_t mixed(const Mix& mix, std::int64_t channel) const {
    float sum = 0;
    const float* value = line_.data() + mix.first * channels_ + channel;
    for (const float weight : mix.weights) {
      sum += weight * *value;
      value += channels_;
    }
    return static_cast<std::uint8_t>(std::clamp(std::lround(sum), 0L, 255L));
  }

  Size from_, to_;
  std::int64_t channels_;
  std::vector<Mix> rows_, columns_;
  std::vector<float> line_;  // one target row's mix of source rows
};

/// Copies the part that both have, centred: a crop where `to` is smaller, a pad where larger.
void copy_centred(const std::uint8_t* source, Size from, std::uint8_t* target, Size to,
                  std::int64_t channels) {
  const std::int64_t height = std::min(from.height, to.height);
  const std::int64_t width = std::min(from.width, to.width);
  const auto start = [&](Size size, std::int64_t y) {
    return (((size.height - height) / 2 + y) * size.width + (size.width - width) / 2) * channels;
  };
  for (std::int64_t y = 0; y < height; ++y) {
    const std::uint8_t* row = source + start(from, y);
    std::copy(row, row + width * channels, target + start(to, y));
  }
}

}  // namespace

std::string to_string(Size size) {
  return std::to_string(size.height) + "x" + std::to_string(size.width);
}

void require_fit(Size from, Size to, Fit fit, const std::string& who) {
  if (from == to) return;
  require_file(fit != Fit::refuse, who, ": images must be ", to_string(to), "; got ",
               to_string(from), ": crop, pad or resize (--crop, --pad, --resize)");
  require_file(fit != Fit::crop || (from.height >= to.height && from.width >= to.width), who,
               ": images to crop must be at least ", to_string(to), "; got ", to_string(from));
  require_file(fit != Fit::pad || (from.height <= to.height && from.width <= to.width), who,
               ": images to pad must be at most ", to_string(to), "; got ", to_string(from));
}

Pixels fitted(Pixels images, Size size, Fit fit, const std::string& who) {
  const Size from{images.shape[1], images.shape[2]};
  if (from == size) return images;
  require_fit(from, size, fit, who);
  const std::int64_t count = images.shape[0], channels = images.shape[3];
  Pixels result{{count, size.height, size.width, channels}, {}};
  result.data.resize(static_cast<std::size_t>(count * size.height * size.width * channels));
  const std::uint8_t* source = images.data.data();
  std::uint8_t* target = result.data.data();
  Resizer resize(from, fit == Fit::resize ? size : Size{}, channels);
  for (std::int64_t i = 0; i < count; ++i) {
    if (fit == Fit::resize) {
      resize(source, target);
    } else {
      copy_centred(source, from, target, size, channels);
    }
    source += from.height * from.width * channels;
    target += size.height * size.width * channels;
  }
  return result;
}

}  // namespace rheo
