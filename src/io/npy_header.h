#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rheo/tensor.h"
#include "src/io/file.h"

namespace rheo {

/// Element types by NumPy's letters and bytes, little-endian where that means anything.
/// None is read as f2; each reader says what it takes instead.
enum class NpyKind { b1, i1, u1, i2, u2, i4, u4, i8, u8, f2, f4, f8 };

struct NpyHeader {
  NpyKind kind = NpyKind::u1;
  Shape shape;
  std::uint64_t data_begin = 0;
  std::uint64_t data_bytes = 0;  ///< All that follows data_begin, exactly what the shape needs.
};

/// @throws Error bad_file naming path, rule and value.
NpyHeader read_npy_header(const InputFile& file);

/// As NumPy names it: "int32".
std::string_view name_of(NpyKind kind);

/// The bytes before the data, version 1.0, as NumPy writes them.
std::string npy_header(const std::string& descr, const Shape& shape);

}  // namespace rheo
