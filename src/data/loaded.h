#pragma once

#include <string>
#include <vector>

#include "rheo/tensor.h"

namespace rheo {

/// What a reader of any kind of data set hands over.
struct LoadedImages {
  Pixels images;  ///< [N >= 1, H, W, C in 1..4]
  Labels labels;  ///< N or none.
  std::vector<std::string> class_names;
  std::string labels_file;  ///< Where labels came from; empty: from where the images did.
};

}  // namespace rheo
