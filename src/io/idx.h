#pragma once

#include <string>

#include "rheo/tensor.h"

namespace rheo {

/// An IDX file of unsigned bytes, plain or gzipped (told by its first bytes), in the shape its
/// header gives. No more is ever unpacked than that shape needs.
/// @throws Error bad_file naming path, rule and value; out_of_memory.
Pixels read_idx(const std::string& path);

}  // namespace rheo
