#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <vector>

#include "rheo/tensor.h"
#include "src/check.h"
#include "src/io/npy_header.h"

namespace rheo {

/// The file's values as they are. @throws Error out_of_memory; io.
template <class T>
Array<T> read_values(const InputFile& file, const NpyHeader& header) {
  Array<T> array{header.shape, {}};
  try {
    array.data.resize(header.data_bytes / sizeof(T));
  } catch (const std::exception&) {  // bad_alloc or length_error
    fail(Errc::out_of_memory, file.path(), ": no memory for its ", header.data_bytes, " bytes");
  }
  file.read(header.data_begin, array.data.data(), header.data_bytes);
  return array;
}

/// Gives each value in order, from a piece of the file at a time.
template <class T, class Use>
void each_value(const InputFile& file, const NpyHeader& header, const Use& use) {
  constexpr std::uint64_t kPiece = 1 << 16;
  std::uint64_t left = header.data_bytes / sizeof(T), at = header.data_begin;
  std::vector<T> piece(std::min(left, kPiece));
  while (left > 0) {
    const std::uint64_t count = std::min(left, kPiece);
    file.read(at, piece.data(), count * sizeof(T));
    std::for_each_n(piece.begin(), count, use);
    at += count * sizeof(T);
    left -= count;
  }
}

}  // namespace rheo
