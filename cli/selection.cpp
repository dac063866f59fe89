#include "cli/selection.h"

#include <algorithm>
#include <utility>

namespace rheo::cli {

namespace {

template <class T>
Array<T> rows(const Array<T>& all, const std::vector<std::int64_t>& indices) {
  const std::int64_t row = static_cast<std::int64_t>(all.data.size()) / all.shape[0];
  Array<T> picked{all.shape, {}};
  picked.shape[0] = static_cast<std::int64_t>(indices.size());
  picked.data.reserve(indices.size() * static_cast<std::size_t>(row));
  for (const std::int64_t i : indices)
    picked.data.insert(picked.data.end(), all.data.begin() + i * row,
                       all.data.begin() + (i + 1) * row);
  return picked;
}

}  // namespace

std::vector<std::int64_t> spread(std::int64_t count, std::int64_t total) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) indices[static_cast<std::size_t>(i)] = i * total / count;
  return indices;
}

Dataset pick(const Dataset& data, const std::vector<std::int64_t>& indices) {
  if (data.is_points()) return Dataset(rows(data.points(), indices));
  Labels labels;
  if (!data.labels().empty())
    for (const std::int64_t i : indices)
      labels.push_back(data.labels()[static_cast<std::size_t>(i)]);
  return Dataset(rows(data.images(), indices), std::move(labels));
}

Dataset leave_out(const Dataset& data, const std::vector<std::int64_t>& indices) {
  std::vector<std::int64_t> rest;
  for (std::int64_t i = 0; i < data.size(); ++i)
    if (!std::binary_search(indices.begin(), indices.end(), i)) rest.push_back(i);
  return pick(data, rest);
}

}  // namespace rheo::cli
