#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rheo {

/// The whole of a regular file. @throws Error bad_file where it is missing, unreadable or no
/// regular file; io where reading fails half-way.
std::vector<std::uint8_t> read_file(const std::string& path);

/// A file that appears whole or not at all: written as `path`.tmp-PID, synced, renamed by commit,
/// and the folder synced. Without commit it is removed.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t count);
  void commit();

 private:
  [[noreturn]] void failed(const char* what) const;

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

/// AtomicFile in one call.
void write_file(const std::string& path, const void* bytes, std::size_t count);

/// Makes a rename inside `folder` durable.
void sync_folder(const std::string& folder);

}  // namespace rheo
