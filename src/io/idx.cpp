#include "src/io/idx.h"

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "src/check.h"
#include "src/io/file.h"
#include "src/io/gzip.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr std::size_t kMagicBytes = 4;
constexpr std::uint8_t kUnsignedByte = 0x08;
constexpr int kHighestRank = 4;
constexpr std::uint64_t kPiece = 1 << 20;  // bytes unpacked at once
constexpr std::uint64_t kLarge = 32 << 20;

/// The bytes of an IDX file in order, gzipped or not.
class IdxBytes {
 public:
  explicit IdxBytes(const std::string& path) : file_(path) {
    std::array<std::uint8_t, 2> start{};
    if (file_.size() >= start.size()) file_.read(0, start.data(), start.size());
    if (start[0] == 0x1f && start[1] == 0x8b) gzip_.emplace(file_.read_rest(0), path);
  }

  const std::string& path() const { return file_.path(); }
  bool is_packed() const { return gzip_.has_value(); }

  /// No header can ask for more than this.
  std::uint64_t limit() const {
    std::uint64_t bytes = file_.size();
    if (gzip_ && __builtin_mul_overflow(bytes, kDeflateRatio, &bytes)) bytes = ~0ULL;
    return bytes;
  }

  /// As many of `count` bytes as there are.
  std::size_t read(std::uint8_t* to, std::size_t count) {
    if (gzip_) return gzip_->read(to, count);
    const auto got = static_cast<std::size_t>(std::min<std::uint64_t>(count, file_.size() - at_));
    file_.read(at_, to, got);
    at_ += got;
    return got;
  }

 private:
  InputFile file_;
  std::optional<GzipReader> gzip_;
  std::uint64_t at_ = 0;
};

Shape read_shape(IdxBytes& bytes) {
  const std::string& path = bytes.path();
  std::array<std::uint8_t, kMagicBytes> magic{};
  const std::size_t got = bytes.read(magic.data(), magic.size());
  require_file(got == magic.size(), path, ": an IDX file must have at least 4 bytes; got ", got);
  require_file(magic[0] == 0 && magic[1] == 0, path,
               ": must be an IDX file, which begins with two zero bytes; got ", int{magic[0]}, ", ",
               int{magic[1]});
  require_file(magic[2] == kUnsignedByte, path, ": its IDX type must be 8 (unsigned byte); got ",
               int{magic[2]});
  require_file(magic[3] >= 1 && magic[3] <= kHighestRank, path,
               ": its IDX dimensions must be 1 to 4; got ", int{magic[3]});
  Shape shape;
  for (int i = 0; i < magic[3]; ++i) {
    std::array<std::uint8_t, 4> dim{};
    require_file(bytes.read(dim.data(), dim.size()) == dim.size(), path,
                 ": its IDX header must be whole; it ends in dimension ", i);
    shape.push_back(std::int64_t{dim[0]} << 24 | dim[1] << 16 | dim[2] << 8 | dim[3]);
  }
  return shape;
}

/// That `count` bytes follow and no more, read on to the end, where a checksum may be.
void require_end(IdxBytes& bytes, const Pixels& pixels, std::uint64_t count, std::uint64_t got) {
  require_file(got == count, bytes.path(), ": its IDX header says ", to_string(pixels.shape), ", ",
               count, " bytes; got only ", got);
  std::uint8_t extra = 0;
  require_file(bytes.read(&extra, 1) == 0, bytes.path(), ": its IDX header says ",
               to_string(pixels.shape), ", ", count, " bytes; there are more");
}

/// Unpacks `count` bytes and keeps none; fewer where the data end before.
std::uint64_t look_through(IdxBytes& bytes, std::uint64_t count, const IdxChecks& checks) {
  std::vector<std::uint8_t> piece(kPiece);
  std::uint64_t done = 0, got = kPiece;
  while (got == kPiece && done < count) {
    got = bytes.read(piece.data(), std::min(count - done, kPiece));
    if (checks.values) checks.values({piece.data(), got}, done);
    done += got;
  }
  return done;
}

}  // namespace

Pixels read_idx(const std::string& path, const IdxChecks& checks) try {
  std::optional<IdxBytes> bytes(std::in_place, path);
  Pixels pixels{read_shape(*bytes), {}};
  const auto count = byte_count(pixels.shape, 1);
  require_file(count && *count <= bytes->limit(), path, ": its IDX header says ",
               to_string(pixels.shape), " bytes, more than the file can hold");
  checks.shape(pixels.shape);
  if (bytes->is_packed() && *count > kLarge) {
    // A small file can unpack to a thousand times as much: memory is taken once it is known whole.
    require_end(*bytes, pixels, *count, look_through(*bytes, *count, checks));
    read_shape(bytes.emplace(path));
  }
  pixels.data.resize(*count);
  require_end(*bytes, pixels, *count, bytes->read(pixels.data.data(), *count));
  if (checks.values) checks.values(pixels.data, 0);
  return pixels;
} catch (const std::bad_alloc&) {
  fail(Errc::out_of_memory, path, ": no memory for its images");
}

}  // namespace rheo
