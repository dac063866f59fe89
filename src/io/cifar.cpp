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

void append(CifarImages& all, const InputFile& file) {
  std::array<std::uint8_t, kRecord> record;
  for (std::uint64_t at = 0; at < file.size(); at += kRecord) {
    file.read(at, record.data(), kRecord);
    require_file(record[0] < kClasses, file.path(), ": CIFAR-10 labels must be 0 to 9; got ",
                 int{record[0]}, " in record ", at / kRecord);
    all.labels.push_back(record[0]);
    for (int pixel = 0; pixel < kPlane; ++pixel) {
      for (int c = 0; c < kChannels; ++c) {
        all.images.data.push_back(record[1 + c * kPlane + pixel]);
      }
    }
  }
}

/// How many records the files have.
std::uint64_t records_in(const std::vector<std::string>& paths) {
  std::uint64_t records = 0;
  for (const std::string& path : paths) {
    const InputFile file(path);
    require_file(file.size() > 0 && file.size() % kRecord == 0, path,
                 ": a CIFAR-10 file must be whole records of ", kRecord, " bytes; got ",
                 file.size());
    records += file.size() / kRecord;
  }
  return records;
}

}  // namespace

CifarImages read_cifar(const std::vector<std::string>& paths) {
  CifarImages all;
  const std::uint64_t records = records_in(paths);
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
