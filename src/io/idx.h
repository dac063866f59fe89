#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "rheo/tensor.h"

namespace rheo {

/// What is wanted of an IDX file; each throws where it is not so.
struct IdxChecks {
  std::function<void(const Shape&)> shape;
  /// All values in order, piece by piece, each with the index of its first; may be asked twice.
  std::function<void(std::span<const std::uint8_t> values, std::uint64_t first)> values = {};
};

/// An IDX file of unsigned bytes, plain or gzipped (told by its first bytes), in the shape its
/// header gives. No more is ever unpacked than that shape needs. What it would unpack to is checked
/// before memory is taken for it.
/// @throws Error bad_file naming path, rule and value; out_of_memory.
Pixels read_idx(const std::string& path, const IdxChecks& checks);

}  // namespace rheo
