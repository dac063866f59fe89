#include "rheo/dataset.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <utility>

#include "src/check.h"
#include "src/data/points.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<int>::max();  // of a side or a class count

/// FNV-1a, 64 bits: tells data sets apart, guards against nothing.
class Hash {
 public:
  void add(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }

  void add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add(static_cast<std::uint8_t>(number >> shift));
  }

  /// Bit by bit, so that -0 is not 0.
  void add(float number) {
    const auto bits = std::bit_cast<std::uint32_t>(number);
    for (int shift = 0; shift < 32; shift += 8) add(static_cast<std::uint8_t>(bits >> shift));
  }

  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

void require_images(const Pixels& images) {
  const Shape& shape = images.shape;
  const bool good = shape.size() == 4 && shape[0] >= 1 && shape[1] >= 1 && shape[1] <= kMost &&
                    shape[2] >= 1 && shape[2] <= kMost && shape[3] >= 1 && shape[3] <= 4;
  require(good, "Dataset: images must be [N, H, W, C], C = 1 to 4, none 0; got ", to_string(shape));
  const auto bytes = byte_count(shape, 1);
  require(bytes && *bytes == images.data.size(), "Dataset: pixels must fill the shape ",
          to_string(shape), "; got ", images.data.size(), " bytes");
}

/// One more than the largest label.
int classes_of(const Labels& labels, std::int64_t count) {
  if (labels.empty()) return 0;
  require(static_cast<std::int64_t>(labels.size()) == count,
          "Dataset: labels must be one for each of ", count_of(count, "image"), "; got ",
          labels.size());
  const auto [least, most] = std::minmax_element(labels.begin(), labels.end());
  require(*least >= 0, "Dataset: labels must be at least 0; got ", *least);
  require(*most < kMost, "Dataset: labels must be below ", kMost);
  return *most + 1;
}

/// Items first .. first + count - 1.
template <class T>
Array<T> rows(const Array<T>& all, std::int64_t first, std::int64_t count) {
  const std::int64_t row = static_cast<std::int64_t>(all.data.size()) / all.shape[0];
  const auto begin = all.data.begin() + first * row;
  Array<T> part{all.shape, {begin, begin + count * row}};
  part.shape[0] = count;
  return part;
}

}  // namespace

Dataset::Dataset(Pixels images, Labels labels)
    : Dataset(std::move(images), std::move(labels), {}) {}

Dataset::Dataset(Tensor points) : points_(std::move(points)) {
  guarded("Dataset", [&] {
    const std::string wrong = wrong_with_points(points_);
    require(wrong.empty(), "Dataset: ", wrong);
  });
}

Dataset::Dataset(Pixels images, Labels labels, std::vector<std::string> class_names)
    : images_(std::move(images)), labels_(std::move(labels)), class_names_(std::move(class_names)) {
  guarded("Dataset", [&] {
    require_images(images_);
    classes_ = std::max(classes_of(labels_, size()), static_cast<int>(class_names_.size()));
  });
}

Dataset Dataset::slice(std::int64_t first, std::int64_t count) const {
  require(first >= 0 && count >= 1 && first <= size() - count, "Dataset::slice: must lie within ",
          count_of(size(), is_points() ? "point" : "image"), "; got ", count, " from ", first);
  return guarded("Dataset::slice", [&] {
    if (is_points()) return Dataset(rows(points_, first, count));
    Pixels images = rows(images_, first, count);
    Labels labels;
    if (!labels_.empty()) labels.assign(labels_.begin() + first, labels_.begin() + first + count);
    Dataset part(std::move(images), std::move(labels), class_names_);
    part.classes_ = classes_, part.labels_file_ = labels_file_;
    return part;
  });
}

std::string Dataset::fingerprint() const {
  return guarded("Dataset::fingerprint", [&] {
    const Shape& shape = is_points() ? points_.shape : images_.shape;
    Hash hash;
    for (const std::int64_t dim : shape) hash.add(static_cast<std::uint64_t>(dim));
    for (const std::uint8_t pixel : images_.data) hash.add(pixel);
    for (const float value : points_.data) hash.add(value);
    for (const int label : labels_) hash.add(static_cast<std::uint64_t>(label));
    std::string text;
    for (const std::int64_t dim : shape) {
      if (!text.empty()) text += 'x';
      text += std::to_string(dim);
    }
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash.value()));
    return text + "-" + digits;
  });
}

}  // namespace rheo
