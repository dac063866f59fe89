#include <array>
#include <cstring>

#include "rheo/checkpoint.h"
#include "rheo/trainer.h"
#include "src/io/safetensors.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {
namespace {

constexpr std::size_t kLengthBytes = 8;

/// A file in which the header's text up to the first NUL, then the data, are put behind the
/// header's length, which mutations would hardly ever keep right.
struct Framed {
  explicit Framed(Bytes input) {
    const void* end = input.empty() ? nullptr : std::memchr(input.data(), 0, input.size());
    const std::size_t size =
        end ? static_cast<std::size_t>(static_cast<const std::uint8_t*>(end) - input.data())
            : input.size();
    header = input.first(size);
    if (end) data = input.subspan(size + 1);
    std::memcpy(length.data(), &size, length.size());
  }

  std::array<std::uint8_t, kLengthBytes> length{};
  Bytes header, data;
};

}  // namespace

/// The file as it is.
void safetensors(Bytes input) {
  static MemoryFile memory;
  const std::string& path = memory.holding({input});
  expect_result_or_refusal([&] {
    const SafetensorsFile file = read_safetensors(path);
    std::size_t covered = 0;
    for (const SafetensorsEntry& entry : file.entries) {
      require(entry.begin == covered && entry.begin <= entry.end, "tensors leave a hole");
      require(file.find(entry.name) == &file.entries[file.index.at(entry.name)], "index is wrong");
      covered = entry.end;
    }
    require(covered == file.data.size(), "tensors do not cover the data");
  });
  expect_result_or_refusal([&] { inspect_checkpoint(path); });
}

void checkpoint(Bytes input) {
  static MemoryFile memory;
  const Framed file(input);
  const std::string& path = memory.holding({file.length, file.header, file.data});
  expect_result_or_refusal([&] {
    const CheckpointInfo info = inspect_checkpoint(path);
    std::int64_t values = 0;
    for (const TensorInfo& tensor : info.tensors) {
      std::int64_t product = 1;
      for (const std::int64_t extent : tensor.shape) product *= extent;
      values += product;
    }
    require(values * 4 == static_cast<std::int64_t>(file.data.size()),
            "tensors do not fill the file");
  });
}

/// Of a training run: state.safetensors.
void state(Bytes input) {
  static MemoryFile memory;
  const Framed file(input);
  const std::string& path = memory.holding({file.length, file.header, file.data});
  expect_result_or_refusal([&] {
    const StateInfo info = inspect_state(path);
    require(info.step >= 0 && info.bytes > static_cast<std::int64_t>(file.data.size()),
            "a state is not what its file says");
  });
}

void config(Bytes input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  expect_result_or_refusal([&] {
    const ModelConfig config = ModelConfig::from_json(text);
    require(ModelConfig::from_json(config.to_json()) == config, "a config does not come back");
  });
}

void options(Bytes input) {
  const std::string text(input.begin(), input.end());
  expect_result_or_refusal([&] {
    const std::string json = TrainOptions::from_json(text).to_json();
    require(TrainOptions::from_json(json).to_json() == json, "options do not come back");
  });
}

}  // namespace rheo::fuzz
