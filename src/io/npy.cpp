#include "rheo/npy.h"

#include <bit>
#include <type_traits>

#include "src/check.h"
#include "src/io/file.h"
#include "src/io/labels.h"
#include "src/io/npy_header.h"
#include "src/io/npy_values.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are read as they lie");

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

/// Looked through before memory is taken for them, which can be four times the file; and once more
/// as they are taken, for the file may have changed.
template <class T>
Labels labels_in(const InputFile& file, const NpyHeader& header, int classes) {
  const auto checked = [&](T label, std::size_t at) {
    require_label(file.path(), label, at, classes);
    return static_cast<int>(label);
  };
  std::size_t count = 0;
  each_value<T>(file, header, [&](T label) { checked(label, count++); });
  Labels labels;
  labels.reserve(count);
  each_value<T>(file, header, [&](T label) { labels.push_back(checked(label, labels.size())); });
  return labels;
}

Labels labels_of_any(const InputFile& file, const NpyHeader& header, int classes) {
  switch (header.kind) {
    case NpyKind::b1:
    case NpyKind::u1:
      return labels_in<std::uint8_t>(file, header, classes);
    case NpyKind::i1:
      return labels_in<std::int8_t>(file, header, classes);
    case NpyKind::i2:
      return labels_in<std::int16_t>(file, header, classes);
    case NpyKind::u2:
      return labels_in<std::uint16_t>(file, header, classes);
    case NpyKind::i4:
      return labels_in<std::int32_t>(file, header, classes);
    case NpyKind::u4:
      return labels_in<std::uint32_t>(file, header, classes);
    case NpyKind::i8:
      return labels_in<std::int64_t>(file, header, classes);
    case NpyKind::u8:
      return labels_in<std::uint64_t>(file, header, classes);
    case NpyKind::f2:
    case NpyKind::f4:
    case NpyKind::f8:
      break;
  }
  fail(Errc::bad_file, file.path(), ": labels must be integers; got ", name_of(header.kind));
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
    default:
      fail(Errc::bad_file, path, ": must be uint8, int32, int64, float32 or float64; got ",
           name_of(header.kind));
  }
}

}  // namespace

NpyArray read_npy(const std::string& path) {
  return guarded(path.c_str(), [&] { return read_any(path); });
}

void write_npy(const std::string& path, const NpyArray& array) {
  guarded("write_npy",
          [&] { std::visit([&](const auto& typed) { write_array(path, typed); }, array); });
}

Labels read_npy_labels(const std::string& path, std::optional<std::int64_t> count, int classes) {
  const InputFile file(path);
  const NpyHeader header = read_npy_header(file);
  const Shape& shape = header.shape;
  const bool column = shape.size() == 2 && shape[1] == 1;
  require_file(shape.size() == 1 || column, path, ": labels must be [N] or [N, 1]; got ",
               to_string(shape));
  require_label_count(path, shape[0], count);
  return labels_of_any(file, header, classes);
}

}  // namespace rheo
