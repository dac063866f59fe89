#include "rheo/npy.h"

#include <type_traits>

#include "src/data/arrays.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {
namespace {

template <class T>
void require_filled(const Array<T>& array) {
  std::size_t values = 1;
  for (const std::int64_t extent : array.shape) values *= static_cast<std::size_t>(extent);
  require(array.data.size() == values, "data do not fill their shape");
#ifdef RHEO_FUZZ_PLANTED
  // A reader that trusts an offset in the file, so that a test can see it found.
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    if (array.shape.size() != 4 || array.data.empty()) return;
    volatile T value = array.data.data()[array.data[0]];
    static_cast<void>(value);
  }
#endif
}

}  // namespace

void npy(Bytes input) {
  static MemoryFile memory;
  const std::string& path = memory.holding({input});
  expect_result_or_refusal([&] {
    const NpyArray array = read_npy(path);
    std::visit([](const auto& typed) { require_filled(typed); }, array);
  });
  expect_result_or_refusal([&] {
    const LoadedArray loaded = read_array_file(path, false, [](const Shape&) {});
    if (const auto* points = std::get_if<Tensor>(&loaded)) require_filled(*points);
  });
  expect_result_or_refusal([&] { read_labels(path); });
}

}  // namespace rheo::fuzz
