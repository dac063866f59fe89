#include "src/io/cifar.h"

#include <cstddef>
#include <cstdint>

#include "src/check.h"
#include "src/io/file.h"

namespace rheo {
namespace {

constexpr int kSide = 32;
constexpr int kChannels = 3;
constexpr int kPlane = kSide * kSide;
constexpr int kRecord = 1 + kChannels * kPlane;
constexpr int kClasses = 10;

void append(CifarImages& all, const std::string& path) {
  const InputFile file(path);
  require_file(file.size() > 0 && file.size() % kRecord == 0, path,
               ": a CIFAR-10 file must be whole records of ", kRecord, " bytes; got ", file.size());
  const std::vector<std::uint8_t> bytes = file.read_rest(0);
  const std::size_t count = bytes.size() / kRecord;
  all.images.data.reserve(all.images.data.size() + count * (kRecord - 1));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* record = bytes.data() + i * kRecord;
    require_file(record[0] < kClasses, path, ": CIFAR-10 labels must be 0 to 9; got ",
                 int{record[0]}, " in record ", i);
    all.labels.push_back(record[0]);
    for (int pixel = 0; pixel < kPlane; ++pixel) {
      for (int c = 0; c < kChannels; ++c) {
        all.images.data.push_back(record[1 + c * kPlane + pixel]);
      }
    }
  }
}

}  // namespace

CifarImages read_cifar(const std::vector<std::string>& paths) {
  CifarImages all;
  for (const std::string& path : paths) append(all, path);
  all.images.shape = {static_cast<std::int64_t>(all.labels.size()), kSide, kSide, kChannels};
  return all;
}

std::vector<std::string> cifar_class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

}  // namespace rheo
