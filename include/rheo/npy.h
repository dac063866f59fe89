#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>

#include "rheo/export.h"
#include "rheo/tensor.h"

namespace rheo {

/// What an .npy file may hold here, little-endian and in C order.
using NpyArray = std::variant<Array<std::uint8_t>, Array<std::int32_t>, Array<std::int64_t>,
                              Array<float>, Array<double>>;

/// Reads a NumPy array file, versions 1 to 3. The header is checked against the file's length
/// before anything is allocated.
/// @throws Error bad_file for anything else: another type, Fortran order, big-endian, objects,
/// truncation.
RHEO_API NpyArray read_npy(const std::string& path);

/// Writes a NumPy array file under a temporary name, synced, then renamed. @throws Error io.
RHEO_API void write_npy(const std::string& path, const NpyArray& array);

/// Labels from an .npy of any integer type or bool, [N] or [N, 1], or from an IDX file [N], gzipped
/// or not; each from 0 to `classes` - 1. N must be `count` where one is given.
/// @throws Error bad_file for another type, shape or number of them, or a label out of range;
/// invalid_argument for a negative count or fewer classes than 1; io; out_of_memory.
RHEO_API Labels read_labels(const std::string& path, std::optional<std::int64_t> count = {},
                            int classes = std::numeric_limits<int>::max());

}  // namespace rheo
