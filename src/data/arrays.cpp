#include "src/data/arrays.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "rheo/npy.h"
#include "src/check.h"
#include "src/data/points.h"
#include "src/io/cifar.h"
#include "src/io/file.h"
#include "src/io/idx.h"
#include "src/io/labels.h"
#include "src/io/npy_values.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;

enum class Kind { cifar, idx, npy, other };

Kind kind_of(const std::string& path) {
  const InputFile file(path);
  // By name, since a CIFAR-10 file may begin as any other.
  if (path.ends_with(".bin")) return Kind::cifar;
  std::array<std::uint8_t, 4> start{};
  file.read(0, start.data(), std::min<std::uint64_t>(start.size(), file.size()));
  if (start[0] == 0x93 && start[1] == 'N') return Kind::npy;
  const bool gzip = start[0] == 0x1f && start[1] == 0x8b;
  const bool idx = start[0] == 0 && start[1] == 0 && file.size() > 0;
  return gzip || idx ? Kind::idx : Kind::other;
}

LoadedImages from_cifar(const std::vector<std::string>& paths) {
  CifarImages cifar = read_cifar(paths);
  return {std::move(cifar.images), std::move(cifar.labels), cifar_class_names(), {}};
}

std::vector<std::string> batches_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("data_batch_") && name.ends_with(".bin")) {
      paths.push_back(entry->path().string());
    }
  }
  require_file(!error, folder, ": cannot be read: ", error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool replace_last(std::string& text, const std::string& what, const std::string& with) {
  const std::size_t at = text.rfind(what);
  if (at == std::string::npos) return false;
  text.replace(at, what.size(), with);
  return true;
}

/// train-images-idx3-ubyte.gz has train-labels-idx1-ubyte.gz beside it, or the same without .gz.
/// Empty where there is none.
std::string idx_labels_beside(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  if (!replace_last(name, "images", "labels")) return "";
  replace_last(name, "idx3", "idx1");
  replace_last(name, "idx4", "idx1");
  const std::string plain = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
  for (const std::string& candidate : {name, plain, plain + ".gz"}) {
    const fs::path beside = fs::path(path).replace_filename(candidate);
    std::error_code error;
    if (fs::exists(beside, error)) return beside.string();
  }
  return "";
}

/// [N, H, W] is [N, H, W, 1].
Shape image_shape(Shape shape, const std::string& path) {
  const Shape found = shape;
  if (shape.size() == 3) shape.push_back(1);
  const bool good = shape.size() == 4 && shape[3] <= 4 &&
                    std::all_of(shape.begin(), shape.end(), [](auto dim) { return dim >= 1; });
  require_file(good, path, ": images must be [N, H, W] or [N, H, W, C], C = 1 to 4, none 0; got ",
               to_string(found));
  return shape;
}

LoadedImages from_idx(const std::string& path, bool with_labels, const Judge& judge) {
  Shape shape;
  LoadedImages loaded;
  const auto check_shape = [&](const Shape& found) {
    shape = image_shape(found, path);
    judge(shape);
  };
  loaded.images = read_idx(path, {check_shape});
  loaded.images.shape = shape;
  const std::string labels = idx_labels_beside(path);
  if (with_labels && !labels.empty()) {
    loaded.labels = read_labels(labels, loaded.images.shape[0]);
    loaded.labels_file = labels;
  }
  return loaded;
}

Labels idx_labels(const std::string& path, std::optional<std::int64_t> count, int classes) {
  const auto check_shape = [&](const Shape& shape) {
    require_file(shape.size() == 1, path, ": labels must be [N]; got ", to_string(shape));
    require_label_count(path, shape[0], count);
  };
  const auto check_values = [&](std::span<const std::uint8_t> values, std::uint64_t first) {
    for (const std::uint8_t label : values) require_label(path, label, first++, classes);
  };
  const Pixels bytes = read_idx(path, {check_shape, check_values});
  return Labels(bytes.data.begin(), bytes.data.end());
}

LoadedArray from_npy(const std::string& path, const Judge& judge) {
  const InputFile file(path);
  NpyHeader header = read_npy_header(file);
  if (header.kind == NpyKind::u1) {
    header.shape = image_shape(header.shape, path);
    judge(header.shape);
    return LoadedImages{read_values<std::uint8_t>(file, header), {}, {}, {}};
  }
  const bool floats = header.kind == NpyKind::f4 || header.kind == NpyKind::f8;
  require_file(floats && header.shape.size() == 2, path,
               ": must hold images, uint8 [N, H, W] or [N, H, W, C], or points, float32 or float64 "
               "[N, D]; got ",
               name_of(header.kind), " ", to_string(header.shape));
  judge(header.shape);
  return read_points(file, header);
}

}  // namespace

LoadedArray read_array_file(const std::string& path, bool with_labels, const Judge& judge) {
  switch (kind_of(path)) {
    case Kind::cifar:
      return from_cifar({path});
    case Kind::idx:
      return from_idx(path, with_labels, judge);
    case Kind::npy:
      return from_npy(path, judge);
    case Kind::other:
      break;
  }
  fail(Errc::bad_file, path, ": must be a folder of images, a CIFAR-10 .bin, an IDX or an .npy ",
       "file; it begins as none");
}

bool is_cifar_folder(const std::string& folder) {
  return !batches_in(folder).empty();
}

LoadedImages read_cifar_folder(const std::string& folder) {
  return from_cifar(batches_in(folder));
}

Labels read_labels(const std::string& path, std::optional<std::int64_t> count, int classes) {
  return guarded(path.c_str(), [&] {
    require(!count || *count >= 0, "read_labels: count must be at least 0; got ",
            count.value_or(0));
    require(classes >= 1, "read_labels: classes must be at least 1; got ", classes);
    return kind_of(path) == Kind::idx ? idx_labels(path, count, classes)
                                      : read_npy_labels(path, count, classes);
  });
}

}  // namespace rheo
