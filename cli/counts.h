#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "rheo/config.h"
#include "rheo/dataset.h"

namespace rheo::cli {

/// "vectors" or "images": what such a model takes.
inline const char* items_of(const ModelConfig& config) {
  return config.is_vector() ? "vectors" : "images";
}
inline const char* items_of(const Dataset& data) {
  return data.is_points() ? "vectors" : "images";
}

/// "1 image", "5 images": `items` without its s where there is one.
inline std::string count_of(std::int64_t count, std::string_view items) {
  if (count == 1 && items.ends_with('s')) items.remove_suffix(1);
  return fmt::format("{} {}", count, items);
}

}  // namespace rheo::cli
