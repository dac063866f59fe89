#pragma once

#include <string>

#include "rheo/tensor.h"
#include "src/io/npy_header.h"

namespace rheo {

/// What keeps an array from being points, [N >= 1, D >= 1] and finite; empty where nothing does.
std::string wrong_with_points(const Tensor& points);

/// The points in an .npy of float32 or float64, by its header. @throws Error bad_file naming the
/// row and column of what is not finite, or the shape; io; out_of_memory.
Tensor read_points(const InputFile& file, const NpyHeader& header);

}  // namespace rheo
