#include "src/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "src/check.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// Where links lead, so that a rename replaces the file and not the link.
std::string followed(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (!real) return path;
  std::string target = real;
  std::free(real);
  return target;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// System calls would take it for the path of another file.
const std::string& without_nul(const std::string& path) {
  require(path.find('\0') == std::string::npos, "a path must have no NUL; got ", shown(path));
  return path;
}

/// That the path is wrong, or not for this user. After any other failure the file may well be there
/// and whole.
bool is_the_callers(int code) {
  return code == ENOENT || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG ||
         code == EACCES;
}

int open_retrying(const char* path, int flags, mode_t mode = 0) {
  int file;
  do file = ::open(path, flags | O_CLOEXEC, mode);
  while (file < 0 && errno == EINTR);
  return file;
}

bool is_link(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

/// Opens for reading. What a link led to may be gone before it is opened where the link is moved
/// meanwhile, as checkpoints/last is while a run saves and prunes: then once more.
int open_to_read(const std::string& path) {
  constexpr int kTries = 50;
  for (int i = 1;; ++i) {
    // Without O_NONBLOCK, opening a pipe that nobody writes to would never return.
    const int file = open_retrying(path.c_str(), O_RDONLY | O_NONBLOCK);
    if (file >= 0 || errno != ENOENT) return file;
    const bool moved = is_link(path) || is_link(folder_of(path));
    errno = ENOENT;
    if (!moved || i == kTries) return file;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Pipes and some file systems have nothing to sync and say EINVAL.
bool synced(int file) {
  int result;
  do result = ::fsync(file);
  while (result < 0 && errno == EINTR);
  return result == 0 || errno == EINVAL;
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(without_nul(path)) {
  file_ = open_to_read(path);
  if (file_ < 0) {
    const int code = errno;
    fail(is_the_callers(code) ? Errc::bad_file : Errc::io, path,
         ": cannot be read: ", std::strerror(code));
  }
  struct stat status {};
  if (::fstat(file_, &status) != 0) {
    const int code = errno;
    ::close(std::exchange(file_, -1));
    fail(Errc::io, path, ": cannot be read: ", std::strerror(code));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(std::exchange(file_, -1));
    fail(Errc::bad_file, path, ": must be a regular file; it is ", kind_of(status.st_mode));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  ::close(file_);
}

void InputFile::read(std::uint64_t offset, void* to, std::size_t count) const {
  auto* bytes = static_cast<std::uint8_t*>(to);
  while (count > 0) {
    const ssize_t got = ::pread(file_, bytes, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fail(Errc::io, path_, ": reading failed at byte ", offset, " of ", size_, ": ",
           got < 0 ? std::strerror(errno) : "the file has become shorter");
    }
    bytes += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

std::vector<std::uint8_t> InputFile::read_rest(std::uint64_t offset) const {
  std::vector<std::uint8_t> bytes;
  try {
    bytes.resize(size_ - offset);
  } catch (const std::exception&) {  // bad_alloc or length_error
    fail(Errc::out_of_memory, path_, ": no memory for its ", size_, " bytes");
  }
  read(offset, bytes.data(), bytes.size());
  return bytes;
}

std::vector<std::uint8_t> read_file(const std::string& path) {
  return InputFile(path).read_rest(0);
}

AtomicFile::AtomicFile(const std::string& path)
    : path_(without_nul(path)), target_(followed(path)) {
  struct stat status;
  if (::stat(target_.c_str(), &status) != 0 || S_ISREG(status.st_mode)) {
    create_temporary();
  } else {
    file_ = open_retrying(target_.c_str(), O_WRONLY);
    if (file_ < 0) failed("opened for writing");
  }
}

/// O_EXCL: never through somebody's link, nor into a file that another thread is writing.
void AtomicFile::create_temporary() {
  const std::string first = target_ + ".tmp-" + std::to_string(::getpid());
  temporary_ = first;
  for (int i = 1; file_ < 0; ++i) {
    file_ = open_retrying(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file_ >= 0) return;
    if (errno != EEXIST || i == 1000) failed("created");
    temporary_ = first + "-" + std::to_string(i);
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::failed(const char* what) const {
  const int code = errno;
  const std::string after = written_ ? " (after " + std::to_string(written_) + " bytes)" : "";
  fail(Errc::io, path_, ": cannot be ", what, ": ", std::strerror(code), after);
}

void AtomicFile::write(const void* bytes, std::size_t count) {
  const auto* from = static_cast<const std::uint8_t*>(bytes);
  while (count > 0) {
    const ssize_t put = ::write(file_, from, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) failed("written");
    from += put;
    written_ += static_cast<std::uint64_t>(put);
    count -= static_cast<std::size_t>(put);
  }
}

void AtomicFile::commit() {
  if (!synced(file_)) failed("synced");
  // Closing can report a write that failed late, on network file systems.
  if (::close(std::exchange(file_, -1)) != 0 && errno != EINTR) failed("closed");
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) failed("renamed from its temporary name");
  temporary_.clear();
  sync_folder(folder_of(target_));
}

void write_file(const std::string& path, const void* bytes, std::size_t count) {
  AtomicFile file(path);
  file.write(bytes, count);
  file.commit();
}

void sync_folder(const std::string& folder) {
  const int file = open_retrying(folder.c_str(), O_RDONLY | O_DIRECTORY);
  const bool done = file >= 0 && synced(file);
  const int code = errno;
  if (file >= 0) ::close(file);
  if (!done) fail(Errc::io, folder, ": cannot be synced: ", std::strerror(code));
}

}  // namespace rheo
