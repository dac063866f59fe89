#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "rheo/export.h"
#include "rheo/tensor.h"

namespace rheo {

/// What an .npy file may hold here, little-endian and in C order.
using NpyArray = std::variant<Array<std::uint8_t>, Array<std::int32_t>, Array<std::int64_t>,
                              Array<float>, Array<double>>;

/// Reads a NumPy array file, versions 1 to 3; bool, other integers up to 64 bits are widened to
/// int64. The header is checked against the file's length before anything is allocated.
/// @throws Error bad_file for anything else: Fortran order, big-endian, objects, truncation.
RHEO_API NpyArray read_npy(const std::string& path);

/// Writes a NumPy array file under a temporary name, synced, then renamed. @throws Error io.
RHEO_API void write_npy(const std::string& path, const NpyArray& array);

/// Labels from an .npy of any integer type, [N] or [N, 1].
/// @throws Error bad_file for another type or shape, or a label below 0 or over 2^31 - 2.
RHEO_API Labels read_labels(const std::string& path);

}  // namespace rheo
