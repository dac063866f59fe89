#include <zlib.h>

#include <vector>

#include "rheo/dataset.h"
#include "rheo/npy.h"
#include "src/io/cifar.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {
namespace {

void read_data_and_labels(const std::string& path) {
  expect_result_or_refusal([&] { Dataset::open(path).fingerprint(); });
  expect_result_or_refusal([&] { read_labels(path, 4); });
}

/// At its quickest: what matters is what comes out of it.
std::vector<std::uint8_t> gzipped(Bytes plain) {
  z_stream stream{};
  require(deflateInit2(&stream, 1, Z_DEFLATED, 16 + 9, 1, Z_DEFAULT_STRATEGY) == Z_OK, "deflate");
  std::vector<std::uint8_t> packed(deflateBound(&stream, plain.size()));
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate did not end");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace

/// Plain or gzipped, as it begins.
void idx(Bytes input) {
  static MemoryFile memory;
  read_data_and_labels(memory.holding({input}));
}

/// What no mutation of packed data would come to: their checksum.
void idx_gzip(Bytes input) {
  static MemoryFile memory;
  const std::vector<std::uint8_t> packed = gzipped(input);
  read_data_and_labels(memory.holding({packed}));
}

/// The first byte chooses how often the record behind it comes, so that a file of whole records
/// is more than a matter of luck.
void cifar(Bytes input) {
  constexpr std::size_t kRecord = 3073;
  static MemoryFile memory;
  if (input.empty()) return;
  std::vector<std::uint8_t> record(input.begin() + 1, input.end());
  if (input[0] & 0x80) record.resize(kRecord);
  std::vector<std::uint8_t> file;
  for (int i = 0; i < (input[0] & 3); ++i) file.insert(file.end(), record.begin(), record.end());
  const std::string& path = memory.holding({file});
  expect_result_or_refusal([&] {
    CifarImages read = read_cifar({path});
    require(read.images.data.size() == read.labels.size() * (kRecord - 1), "pixels are missing");
    Dataset(std::move(read.images), std::move(read.labels)).fingerprint();
  });
}

}  // namespace rheo::fuzz
