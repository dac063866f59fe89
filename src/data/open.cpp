#include <filesystem>
#include <system_error>
#include <utility>

#include "rheo/dataset.h"
#include "rheo/npy.h"
#include "src/check.h"
#include "src/data/arrays.h"
#include "src/data/fit.h"
#include "src/data/folder.h"
#include "src/io/image_limits.h"

namespace rheo {
namespace {

void require_options(const DatasetOptions& options) {
  const std::int64_t height = options.height, width = options.width, most = options.max_pixels;
  require_limit("DatasetOptions", most);
  require(height >= 0 && width >= 0, "DatasetOptions: height and width must be at least 0; got ",
          height, "x", width);
  require(height <= most && width <= most && height * width <= most,
          "DatasetOptions: an image must have at most ", most, " pixels; got ", height, "x", width);
}

/// Points are as they are.
void require_plain(const std::string& path, const Shape& points, const DatasetOptions& options) {
  require_file(options.height == 0 && options.width == 0 && options.fit == Fit::refuse, path,
               ": must hold images, to bring to a size; got points ", to_string(points));
  require_file(options.labels.empty(), path, ": must hold images, to have labels; got points ",
               to_string(points));
}

Size wanted_size(const Shape& images, const DatasetOptions& options) {
  return {options.height > 0 ? options.height : images[1],
          options.width > 0 ? options.width : images[2]};
}

LoadedArray load(const std::string& path, const DatasetOptions& options, const Progress& progress) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  if (folder && !is_cifar_folder(path)) return read_folder(path, options, progress);
  const auto judge = [&](const Shape& shape) {
    if (shape.size() == 2) return require_plain(path, shape, options);
    require_fit({shape[1], shape[2]}, wanted_size(shape, options), options.fit, path);
  };
  LoadedArray array = folder ? LoadedArray(read_cifar_folder(path))
                             : read_array_file(path, options.labels.empty(), judge);
  if (auto* loaded = std::get_if<LoadedImages>(&array)) {
    const Size size = wanted_size(loaded->images.shape, options);
    loaded->images = fitted(std::move(loaded->images), size, options.fit, path);
  }
  return array;
}

}  // namespace

Dataset Dataset::open(const std::string& path, const DatasetOptions& options,
                      const Progress& progress) {
  return guarded(path.c_str(), [&] {
    require_options(options);
    LoadedArray array = load(path, options, progress);
    if (auto* points = std::get_if<Tensor>(&array)) return Dataset(std::move(*points));
    auto& loaded = std::get<LoadedImages>(array);
    if (!options.labels.empty()) {
      loaded.labels = read_labels(options.labels, loaded.images.shape[0]);
      loaded.labels_file = options.labels;
      loaded.class_names.clear();
    }
    Dataset data(std::move(loaded.images), std::move(loaded.labels), std::move(loaded.class_names));
    data.labels_file_ = std::move(loaded.labels_file);
    return data;
  });
}

}  // namespace rheo
