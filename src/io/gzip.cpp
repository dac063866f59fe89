#include "src/io/gzip.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "src/check.h"

namespace rheo {
namespace {

constexpr int kGzipOnly = 16 + MAX_WBITS;  // of zlib's windowBits

/// zlib counts in unsigned int.
uInt at_most_an_int(std::size_t count) {
  return static_cast<uInt>(std::min<std::size_t>(count, std::numeric_limits<int>::max()));
}

}  // namespace

GzipReader::GzipReader(std::vector<std::uint8_t> packed, const std::string& path)
    : packed_(std::move(packed)), path_(path) {
  if (inflateInit2(&stream_, kGzipOnly) != Z_OK) {
    fail(Errc::out_of_memory, path_, ": no memory to unpack it");
  }
}

GzipReader::~GzipReader() {
  inflateEnd(&stream_);
}

void GzipReader::feed() {
  if (stream_.avail_in > 0) return;
  require_file(fed_ < packed_.size(), path_, ": its gzip data must be whole; they end after ", fed_,
               " bytes");
  stream_.next_in = packed_.data() + fed_;
  stream_.avail_in = at_most_an_int(packed_.size() - fed_);
  fed_ += stream_.avail_in;
}

/// A gzip file may be several, one behind the other.
void GzipReader::end_member() {
  if (stream_.avail_in == 0 && fed_ == packed_.size()) {
    ended_ = true;
  } else {
    inflateReset(&stream_);
  }
}

std::size_t GzipReader::read(std::uint8_t* to, std::size_t count) {
  std::size_t done = 0;
  while (done < count && !ended_) {
    feed();
    stream_.next_out = to + done;
    stream_.avail_out = at_most_an_int(count - done);
    const uInt before = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    done += before - stream_.avail_out;
    if (result == Z_STREAM_END) {
      end_member();
    } else {
      require_file(result == Z_OK || result == Z_BUF_ERROR, path_,
                   ": its gzip data are damaged: ", stream_.msg ? stream_.msg : zError(result));
    }
  }
  return done;
}

}  // namespace rheo
