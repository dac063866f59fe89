#pragma once

#include <functional>
#include <string>

#include "rheo/tensor.h"

namespace rheo {

/// An IDX file of unsigned bytes, plain or gzipped (told by its first bytes), in the shape its
/// header gives. No more is ever unpacked than that shape needs.
/// `check` gets that shape before memory is taken for it, and throws where it is not one to read.
/// @throws Error bad_file naming path, rule and value; out_of_memory.
Pixels read_idx(const std::string& path, const std::function<void(const Shape&)>& check);

}  // namespace rheo
