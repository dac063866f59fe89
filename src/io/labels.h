#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "rheo/tensor.h"
#include "src/check.h"

namespace rheo {

// What labels of a file must be, whatever its format.

inline void require_label_count(const std::string& path, std::int64_t found,
                                std::optional<std::int64_t> count) {
  if (!count || found == *count) return;
  fail(Errc::bad_file, path, ": must have a label for each of ", count_of(*count, "image"),
       "; got ", found);
}

template <class T>
void require_label(const std::string& path, T label, std::size_t at, int classes) {
  require_file(std::cmp_greater_equal(label, 0) && std::cmp_less(label, classes), path,
               ": labels must be from 0 to ", classes - 1, "; got ", +label, " for image ", at);
}

/// As read_labels has them, of an .npy.
Labels read_npy_labels(const std::string& path, std::optional<std::int64_t> count, int classes);

}  // namespace rheo
