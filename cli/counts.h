#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace rheo::cli {

/// "1 image", "5 images": `items` without its s where there is one.
inline std::string count_of(std::int64_t count, std::string_view items) {
  if (count == 1 && items.ends_with('s')) items.remove_suffix(1);
  return fmt::format("{} {}", count, items);
}

}  // namespace rheo::cli
