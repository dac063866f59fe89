#include "src/io/cifar.h"

#include <array>
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

std::uint64_t records_in(const InputFile& file) {
  require_file(file.size() > 0 && file.size() % kRecord == 0, file.path(),
               ": a CIFAR-10 file must be whole records of ", kRecord, " bytes; got ", file.size());
  return file.size() / kRecord;
}

void append(CifarImages& all, const InputFile& file) {
  std::array<std::uint8_t, kRecord> record;
  const std::uint64_t records = records_in(file);  // it may have changed since they were counted
  for (std::uint64_t i = 0; i < records; ++i) {
    file.read(i * kRecord, record.data(), kRecord);
    require_file(record[0] < kClasses, file.path(), ": CIFAR-10 labels must be 0 to 9; got ",
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
  std::uint64_t records = 0;
  for (const std::string& path : paths) records += records_in(InputFile(path));
  all.labels.reserve(records);
  all.images.data.reserve(records * (kRecord - 1));
  for (const std::string& path : paths) append(all, InputFile(path));
  all.images.shape = {static_cast<std::int64_t>(all.labels.size()), kSide, kSide, kChannels};
  return all;
}

std::vector<std::string> cifar_class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

}  // namespace rheo
