#include "cli/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

/// An open file; without the temporary name that it has until it is `kept`.
class File {
 public:
  File(const std::string& path, int flags)
      : path_(path),
        file_(retried([&] { return open(path.c_str(), flags | O_CLOEXEC, 0666); })),
        temporary_((flags & O_CREAT) != 0 && file_ >= 0) {}
  ~File() {
    if (file_ >= 0) close(file_);
    if (temporary_) unlink(path_.c_str());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int descriptor() const { return file_; }
  /// An interrupted close has closed all the same.
  bool closed() { return close(std::exchange(file_, -1)) == 0 || errno == EINTR; }
  void keep() { temporary_ = false; }

 private:
  const std::string path_;
  int file_;
  bool temporary_;
};

}  // namespace

std::string read_text(const std::string& path) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would never return.
  const File file(path, O_RDONLY | O_NONBLOCK);
  const int error = errno;
  if (file.descriptor() < 0 && (error == ENOENT || error == EACCES))
    fail(Errc::bad_file, "{}: cannot be read: {}", path, std::strerror(error));
  if (file.descriptor() < 0) fail_errno(path, "open");
  struct stat status {};
  if (fstat(file.descriptor(), &status) != 0) fail_errno(path, "read");
  if (!S_ISREG(status.st_mode)) fail(Errc::bad_file, "{}: must be a regular file", path);
  std::string text;
  char piece[1 << 14];
  for (;;) {
    const ssize_t got = retried([&] { return read(file.descriptor(), piece, sizeof piece); });
    if (got < 0) fail_errno(path, "read");
    if (got == 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
  }
}

void write_all(int file, const std::string& path, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t put =
        retried([&] { return write(file, text.data() + done, text.size() - done); });
    if (put < 0) fail_errno(path, "write");
    done += static_cast<std::size_t>(put);
  }
}

void write_text(const std::string& path, const std::string& text) {
  const std::string temporary = fmt::format("{}.tmp-{}", path, getpid());
  File file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
  if (file.descriptor() < 0) fail_errno(temporary, "open");
  write_all(file.descriptor(), path, text);
  if (retried([&] { return fsync(file.descriptor()); }) != 0) fail_errno(path, "sync");
  if (!file.closed()) fail_errno(path, "close");
  if (rename(temporary.c_str(), path.c_str()) != 0) fail_errno(path, "rename to this");
  file.keep();
  sync(std::filesystem::path(path).parent_path().string());
}

void sync(const std::string& path) {
  const File file(path, O_RDONLY);
  if (file.descriptor() < 0 || retried([&] { return fsync(file.descriptor()); }) != 0)
    fail_errno(path, "sync");
}

}  // namespace rheo::cli
