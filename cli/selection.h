#pragma once

#include <cstdint>
#include <vector>

#include "rheo/dataset.h"

namespace rheo::cli {

/// `count` indices below `total`, evenly spread: data sets are often sorted by class.
std::vector<std::int64_t> spread(std::int64_t count, std::int64_t total);

/// The images or vectors at `indices`, in that order.
Dataset pick(const Dataset& data, const std::vector<std::int64_t>& indices);

/// Those that are not at `indices`, which rise.
Dataset leave_out(const Dataset& data, const std::vector<std::int64_t>& indices);

}  // namespace rheo::cli
