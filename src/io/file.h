#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rheo {

/// A regular file open for reading, its length known before anything is allocated for it.
class InputFile {
 public:
  /// @throws Error bad_file where it is missing, no regular file or not for this user to read; io
  /// where the system fails to open it; invalid_argument for a path with a NUL.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  /// @throws Error io where reading fails or the file has become shorter.
  void read(std::uint64_t offset, void* to, std::size_t count) const;

  /// From `offset` to the end. @throws Error io; out_of_memory.
  std::vector<std::uint8_t> read_rest(std::uint64_t offset) const;

 private:
  std::string path_;
  std::uint64_t size_ = 0;
  int file_ = -1;
};

/// The whole of a regular file. @throws Error as InputFile; out_of_memory.
std::vector<std::uint8_t> read_file(const std::string& path);

/// A file that appears whole or not at all: written as `path`.tmp-PID, synced, renamed by commit,
/// and the folder synced. Without commit it is removed. A link is followed; a device or a pipe,
/// which no rename may replace, is written to directly.
class AtomicFile {
 public:
  /// @throws Error io; invalid_argument for a path with a NUL.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t count);
  void commit();

 private:
  [[noreturn]] void failed(const char* what) const;
  void create_temporary();
  void discard() noexcept;

  std::string path_;       // as the caller named it, for messages
  std::string target_;     // where it leads
  std::string temporary_;  // empty where the target is written to directly
  std::uint64_t written_ = 0;
  int file_ = -1;
};

/// AtomicFile in one call.
void write_file(const std::string& path, const void* bytes, std::size_t count);

/// Makes a rename inside `folder` durable.
void sync_folder(const std::string& folder);

}  // namespace rheo
