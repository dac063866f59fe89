#include "rheo/npy.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "src/check.h"
#include "src/io/file.h"
#include "src/io/npy_header.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are read as they lie");

/// The file's values as they are.
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

template <class T>
Array<std::int64_t> widened(const InputFile& file, const NpyHeader& header) {
  const Array<T> narrow = read_values<T>(file, header);
  Array<std::int64_t> wide{narrow.shape, {}};
  wide.data.reserve(narrow.data.size());
  for (const T value : narrow.data) {
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      require_file(value <= std::numeric_limits<std::int64_t>::max(), file.path(),
                   ": values must be below 2^63; got ", value);
    }
    wide.data.push_back(static_cast<std::int64_t>(value));
  }
  return wide;
}

template <class T>
constexpr const char* descr_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
  if constexpr (std::is_same_v<T, std::int32_t>) return "<i4";
  if constexpr (std::is_same_v<T, std::int64_t>) return "<i8";
  if constexpr (std::is_same_v<T, float>) return "<f4";
  if constexpr (std::is_same_v<T, double>) return "<f8";
}

template <class T>
void write_array(const std::string& path, const Array<T>& array) {
  const auto bytes = byte_count(array.shape, sizeof(T));
  require(bytes && *bytes == array.data.size() * sizeof(T), "write_npy: data must fill the shape ",
          to_string(array.shape), "; got ", array.data.size(), " values");
  const std::string header = npy_header(descr_of<T>(), array.shape);
  AtomicFile file(path);
  file.write(header.data(), header.size());
  file.write(array.data.data(), *bytes);
  file.commit();
}

template <class T>
Labels labels_from(const Array<T>& array, const std::string& path) {
  if constexpr (std::is_floating_point_v<T>) {
    fail(Errc::bad_file, path, ": labels must be integers; got ", descr_of<T>());
  } else {
    const bool column = array.shape.size() == 2 && array.shape[1] == 1;
    require_file(array.shape.size() == 1 || column, path, ": labels must be [N] or [N, 1]; got ",
                 to_string(array.shape));
    Labels labels;
    labels.reserve(array.data.size());
    for (const T value : array.data) {
      const std::int64_t label = value;  // below INT_MAX, so that the number of classes fits too
      require_file(label >= 0 && label < std::numeric_limits<int>::max(), path,
                   ": labels must be from 0 to 2147483646; got ", label, " at ", labels.size());
      labels.push_back(static_cast<int>(label));
    }
    return labels;
  }
}

NpyArray read_any(const std::string& path) {
  const InputFile file(path);
  const NpyHeader header = read_npy_header(file);
  switch (header.kind) {
    case NpyKind::u1:
      return read_values<std::uint8_t>(file, header);
    case NpyKind::i4:
      return read_values<std::int32_t>(file, header);
    case NpyKind::i8:
      return read_values<std::int64_t>(file, header);
    case NpyKind::f4:
      return read_values<float>(file, header);
    case NpyKind::f8:
      return read_values<double>(file, header);
    case NpyKind::b1:
      return widened<std::uint8_t>(file, header);
    case NpyKind::i1:
      return widened<std::int8_t>(file, header);
    case NpyKind::i2:
      return widened<std::int16_t>(file, header);
    case NpyKind::u2:
      return widened<std::uint16_t>(file, header);
    case NpyKind::u4:
      return widened<std::uint32_t>(file, header);
    case NpyKind::u8:
      return widened<std::uint64_t>(file, header);
  }
  fail(Errc::bad_file, path, ": its type is not one that can be read");
}

}  // namespace

NpyArray read_npy(const std::string& path) {
  return guarded(path.c_str(), [&] { return read_any(path); });
}

void write_npy(const std::string& path, const NpyArray& array) {
  guarded("write_npy",
          [&] { std::visit([&](const auto& typed) { write_array(path, typed); }, array); });
}

Labels read_labels(const std::string& path) {
  return guarded(path.c_str(), [&] {
    return std::visit([&](const auto& array) { return labels_from(array, path); }, read_any(path));
  });
}

}  // namespace rheo
