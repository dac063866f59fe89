#pragma once

#include <string>

#include "rheo/npy.h"
#include "rheo/tensor.h"

namespace rheo {

/// What keeps an array from being points, [N >= 1, D >= 1] and finite; empty where nothing does.
std::string wrong_with_points(const Tensor& points);

/// An .npy of float32 or float64 as points. @throws Error bad_file for any other array, naming
/// path, type and shape, or the row and column of what is not finite.
Tensor points_from(NpyArray array, const std::string& path);

}  // namespace rheo
