#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rheo {

/// Unpacks gzip data piece by piece, so that its reader decides how much memory it may take.
class GzipReader {
 public:
  /// `path` begins the messages.
  GzipReader(std::vector<std::uint8_t> packed, const std::string& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Unpacks up to `count` bytes; fewer only at the end of the data, whose checksum then held.
  /// @throws Error bad_file where the data are damaged or end too early.
  std::size_t read(std::uint8_t* to, std::size_t count);

 private:
  void feed();
  void end_member();

  std::vector<std::uint8_t> packed_;
  std::string path_;
  std::size_t fed_ = 0;  // of packed_, handed to zlib
  z_stream stream_{};
  bool ended_ = false;
};

}  // namespace rheo
