#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rheo/export.h"
#include "rheo/image.h"
#include "rheo/tensor.h"

namespace rheo {

/// What to do with an image that is not of the size asked for.
enum class Fit {
  refuse,  ///< Error that names it.
  crop,    ///< Keep the centre.
  pad,     ///< Black around it, centred.
  resize,  ///< Area-averaging when smaller, bilinear when larger; the aspect may change.
};

struct DatasetOptions {
  int height = 0;  ///< 0: that of the first image.
  int width = 0;
  Fit fit = Fit::refuse;
  std::string labels = {};  ///< An .npy or IDX file of labels; empty: sub-folders, the labels of a
                            ///< CIFAR file, or the IDX labels file that lies beside the images.
  std::int64_t max_pixels = kMaxPixels;  ///< Of one image, at most; 1 .. 2^31 - 1.
};

/// Images, all of one size, decoded and in memory, or points: vectors of D numbers. One that was
/// moved from has size 0.
class RHEO_API Dataset {
 public:
  /// Recognises by itself: a folder of PNG and JPEG files (recursive, sorted; the top sub-folder is
  /// the class), CIFAR-10 binary (a file, or a folder of data_batch_*.bin), IDX, gzipped or not,
  /// and .npy of uint8 [N, H, W, C] or [N, H, W]. An .npy of float32 or float64 [N, D] is points.
  /// Grey images among colour ones are repeated in each channel; alpha is refused. Points have no
  /// options.
  /// @throws Error bad_file naming the file, the rule and the value; invalid_argument for options.
  static Dataset open(const std::string& path, const DatasetOptions& options = {},
                      const Progress& progress = {});

  /// @throws Error invalid_argument unless images are [N >= 1, H, W, C in 1..4] and there is either
  /// no label or one from 0 for each image.
  explicit Dataset(Pixels images, Labels labels = {});

  /// @throws Error invalid_argument unless points are [N >= 1, D >= 1] and finite.
  explicit Dataset(Tensor points);

  bool is_points() const { return !points_.shape.empty(); }

  std::int64_t size() const { return dim(0); }
  int height() const { return static_cast<int>(dim(1)); }
  int width() const { return static_cast<int>(dim(2)); }
  int channels() const { return static_cast<int>(dim(3)); }
  /// Values of one: H W C of an image; points are 1x1 images of D channels.
  std::int64_t dims() const { return dim(1) * dim(2) * dim(3); }

  /// One more than the largest label, or the number of sub-folders; 0 without labels.
  int classes() const { return classes_; }
  const std::vector<std::string>& class_names() const { return class_names_; }

  const Pixels& images() const { return images_; }  ///< Empty for points.
  const Tensor& points() const { return points_; }  ///< [N, D]; empty for images.
  const Labels& labels() const { return labels_; }
  /// The file that the labels of Dataset::open came from; empty where they came with the images.
  const std::string& labels_file() const { return labels_file_; }

  /// Items first .. first + count - 1 and their labels. @throws Error invalid_argument.
  Dataset slice(std::int64_t first, std::int64_t count) const;

  /// Count, shape and a 64-bit hash of pixels and labels, or of points:
  /// "60000x28x28x1-0123456789abcdef", "20000x2-...".
  std::string fingerprint() const;

 private:
  Dataset(Pixels images, Labels labels, std::vector<std::string> class_names);

  std::int64_t dim(std::size_t axis) const {
    if (is_points()) return axis == 0 ? points_.shape[0] : axis == 3 ? points_.shape[1] : 1;
    return images_.shape.empty() ? 0 : images_.shape[axis];
  }

  Pixels images_;
  Tensor points_;
  Labels labels_;
  std::vector<std::string> class_names_;
  std::string labels_file_;
  int classes_ = 0;
};

}  // namespace rheo
