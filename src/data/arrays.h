#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "rheo/tensor.h"
#include "src/data/loaded.h"

namespace rheo {

using LoadedArray = std::variant<LoadedImages, Tensor>;

/// Throws where images of this shape, [N, H, W, C], or points, [N, D], are not wanted: asked before
/// memory is taken for what can be far larger than the file.
using Judge = std::function<void(const Shape&)>;

/// A file of many images, told by its name and first bytes: CIFAR-10 (.bin), IDX, .npy of uint8; or
/// points [N, D], .npy of floats. An IDX file's labels come from the labels file beside it, unless
/// `with_labels` is false. `judge` is asked of IDX and .npy files.
/// @throws Error bad_file for another kind of file or a damaged one.
LoadedArray read_array_file(const std::string& path, bool with_labels, const Judge& judge);

/// True where a folder holds data_batch_*.bin, the training set of CIFAR-10.
bool is_cifar_folder(const std::string& folder);

LoadedImages read_cifar_folder(const std::string& folder);

}  // namespace rheo
