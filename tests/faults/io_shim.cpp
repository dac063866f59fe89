// Preloaded into a program, makes one of its calls on files below a folder fail: the system calls
// that programs reach through the C library, and the stdio functions, which reach them inside it.
//
//   RHEO_FAULT_FOLDER   the folder, as an absolute path without links
//   RHEO_FAULT_LOG      a file outside of it that gets a line "<call> <path>" for each call
//   RHEO_FAULT_AT       the call that fails, from 1; 0: none
//   RHEO_FAULT_KIND     ENOSPC, EIO, EDQUOT, ESTALE, EINTR, or short: a write of half the bytes; or
//                       KILL: the call ends the process; or no_exchange: whatever `at` is, two
//                       names cannot change places
//   RHEO_FAULT_LASTING  1: every later call fails too; of EINTR every other one

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

/// What a call gives when it is told to fail.
enum class Answer { proceed, fail, half };

/// Whether a signal may interrupt a call: what only changes folders goes on, and of stdio's calls
/// on regular files no program is told.
enum class Waits { yes, no };

struct Orders {
  std::string folder = text("RHEO_FAULT_FOLDER"), kind = text("RHEO_FAULT_KIND");
  long at = std::atol(text("RHEO_FAULT_AT").c_str());
  bool lasting = text("RHEO_FAULT_LASTING") == "1";
  int log = opened(text("RHEO_FAULT_LOG"));

  static int opened(const std::string& path) {
    const auto open = reinterpret_cast<int (*)(const char*, int, ...)>(dlsym(RTLD_NEXT, "open"));
    return path.empty() ? -1 : open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  }
  static std::string text(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
  }
  int error() const {
    return kind == "ENOSPC"   ? ENOSPC
           : kind == "EDQUOT" ? EDQUOT
           : kind == "ESTALE" ? ESTALE
           : kind == "EINTR"  ? EINTR
                              : EIO;
  }
};

const Orders& orders() {
  static const auto* const all = new Orders;  // calls go on while static objects are destroyed
  return *all;
}

std::atomic<long> calls = 0;

/// The next function of this name: the C library's.
template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

std::string path_of(int descriptor) {
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = ::readlink(link, path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "";
}

std::string path_at(int folder, const char* path) {
  if (path[0] == '/') return path;
  if (folder != AT_FDCWD) return path_of(folder) + "/" + path;
  char here[PATH_MAX];
  return std::string(getcwd(here, sizeof here) ? here : "") + "/" + path;
}

bool watched(const std::string& path) {
  const std::string& folder = orders().folder;
  return !folder.empty() && path.compare(0, folder.size(), folder) == 0 &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

Answer answer_to(const char* call, const std::string& path, Waits waits, bool writes = false) {
  const int before = errno;
  if (!watched(path)) return Answer::proceed;
  const Orders& all = orders();
  const long number = ++calls;
  const std::string line = std::string(call) + " " + path + "\n";
  static auto* const put = next<ssize_t(int, const void*, std::size_t)>("write");
  if (all.log >= 0) (void)!put(all.log, line.data(), line.size());
  errno = before;
  const bool alternate = all.kind == "EINTR" && (number - all.at) % 2 != 0;
  if (all.at == 0 || number < all.at || (number > all.at && (!all.lasting || alternate)))
    return Answer::proceed;
  if (all.kind == "KILL") ::kill(::getpid(), SIGKILL);
  if (all.kind == "short") return writes ? Answer::half : Answer::proceed;
  if (all.kind == "EINTR" && waits == Waits::no) return Answer::proceed;
  errno = all.error();
  return Answer::fail;
}

Answer answer_to(const char* call, int descriptor, Waits waits, bool writes = false) {
  const int before = errno;
  const std::string path = path_of(descriptor);
  errno = before;
  return answer_to(call, path, waits, writes);
}

mode_t mode_in(int flags, std::va_list arguments) {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return creates ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

int open_below(int folder, const char* path, int flags, mode_t mode) {
  // Opening a folder waits for nobody, and the C++ library would not try again.
  const Waits waits = flags & O_DIRECTORY ? Waits::no : Waits::yes;
  if (answer_to("open", path_at(folder, path), waits) == Answer::fail) return -1;
  static auto* const real = next<int(int, const char*, int, ...)>("openat");
  return real(folder, path, flags, mode);
}

/// A call on a descriptor, with its arguments.
template <class F, class... Arguments>
auto on_descriptor(const char* call, F* real, int file, Arguments... arguments)
    -> decltype(real(file, arguments...)) {
  if (answer_to(call, file, Waits::yes) == Answer::fail) return -1;
  return real(file, arguments...);
}

/// A call that changes a folder.
template <class F>
int on_path(const char* call, const std::string& path, const F& real) {
  return answer_to(call, path, Waits::no) == Answer::fail ? -1 : real();
}

}  // namespace

extern "C" {

#define RHEO_OPEN(name)                             \
  int name(const char* path, int flags, ...) {      \
    std::va_list arguments;                         \
    va_start(arguments, flags);                     \
    const mode_t mode = mode_in(flags, arguments);  \
    va_end(arguments);                              \
    return open_below(AT_FDCWD, path, flags, mode); \
  }
#define RHEO_OPENAT(name)                                  \
  int name(int folder, const char* path, int flags, ...) { \
    std::va_list arguments;                                \
    va_start(arguments, flags);                            \
    const mode_t mode = mode_in(flags, arguments);         \
    va_end(arguments);                                     \
    return open_below(folder, path, flags, mode);          \
  }
RHEO_OPEN(open)
RHEO_OPEN(open64)
RHEO_OPENAT(openat)
RHEO_OPENAT(openat64)

/// As on Linux, the descriptor is gone whatever it says.
int close(int file) {
  static auto* const real = next<int(int)>("close");
  const Answer answer = answer_to("close", file, Waits::yes);
  const int error = errno, result = real(file);
  if (answer == Answer::proceed) return result;
  errno = error;
  return -1;
}

ssize_t write(int file, const void* from, std::size_t count) {
  static auto* const real = next<ssize_t(int, const void*, std::size_t)>("write");
  const Answer answer = answer_to("write", file, Waits::yes, true);
  if (answer == Answer::fail) return -1;
  return real(file, from, answer == Answer::half && count > 1 ? count / 2 : count);
}

ssize_t read(int file, void* to, std::size_t count) {
  return on_descriptor("read", next<ssize_t(int, void*, std::size_t)>("read"), file, to, count);
}
ssize_t pread(int file, void* to, std::size_t count, off_t at) {
  return on_descriptor("read", next<ssize_t(int, void*, std::size_t, off_t)>("pread"), file, to,
                       count, at);
}
ssize_t pread64(int file, void* to, std::size_t count, off64_t at) {
  return on_descriptor("read", next<ssize_t(int, void*, std::size_t, off64_t)>("pread64"), file, to,
                       count, at);
}

int fsync(int file) {
  return on_descriptor("fsync", next<int(int)>("fsync"), file);
}
int fdatasync(int file) {
  return on_descriptor("fsync", next<int(int)>("fdatasync"), file);
}
int ftruncate(int file, off_t size) noexcept {
  return on_descriptor("ftruncate", next<int(int, off_t)>("ftruncate"), file, size);
}
int ftruncate64(int file, off64_t size) noexcept {
  return on_descriptor("ftruncate", next<int(int, off64_t)>("ftruncate64"), file, size);
}
int flock(int file, int operation) noexcept {
  if (answer_to("flock", file, Waits::no) == Answer::fail) return -1;
  return next<int(int, int)>("flock")(file, operation);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  return on_path("rename", path_at(AT_FDCWD, to), [&] { return real(from, to); });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  static auto* const real = next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  if (flags != 0 && orders().kind == "no_exchange") {
    errno = EINVAL;
    return -1;
  }
  return on_path("rename", path_at(to_folder, to),
                 [&] { return real(from_folder, from, to_folder, to, flags); });
}
int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = next<int(const char*, mode_t)>("mkdir");
  return on_path("mkdir", path_at(AT_FDCWD, path), [&] { return real(path, mode); });
}
int symlink(const char* to, const char* path) noexcept {
  static auto* const real = next<int(const char*, const char*)>("symlink");
  return on_path("symlink", path_at(AT_FDCWD, path), [&] { return real(to, path); });
}
int unlink(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("unlink");
  return on_path("unlink", path_at(AT_FDCWD, path), [&] { return real(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  static auto* const real = next<int(int, const char*, int)>("unlinkat");
  return on_path("unlink", path_at(folder, path), [&] { return real(folder, path, flags); });
}
int rmdir(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("rmdir");
  return on_path("unlink", path_at(AT_FDCWD, path), [&] { return real(path); });
}
int remove(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("remove");
  return on_path("unlink", path_at(AT_FDCWD, path), [&] { return real(path); });
}
DIR* opendir(const char* path) {
  static auto* const real = next<DIR*(const char*)>("opendir");
  return answer_to("opendir", path_at(AT_FDCWD, path), Waits::no) == Answer::fail ? nullptr
                                                                                  : real(path);
}

#define RHEO_FOPEN(name)                                                          \
  FILE* name(const char* path, const char* mode) {                                \
    static auto* const real = next<FILE*(const char*, const char*)>(#name);       \
    const Answer answer = answer_to("fopen", path_at(AT_FDCWD, path), Waits::no); \
    return answer == Answer::fail ? nullptr : real(path, mode);                   \
  }
RHEO_FOPEN(fopen)
RHEO_FOPEN(fopen64)

std::size_t fwrite(const void* from, std::size_t size, std::size_t count, FILE* to) {
  static auto* const real =
      next<std::size_t(const void*, std::size_t, std::size_t, FILE*)>("fwrite");
  return answer_to("fwrite", fileno(to), Waits::no) == Answer::fail ? 0
                                                                    : real(from, size, count, to);
}
int fflush(FILE* file) {
  static auto* const real = next<int(FILE*)>("fflush");
  return file && answer_to("fflush", fileno(file), Waits::no) == Answer::fail ? EOF : real(file);
}
int fclose(FILE* file) {
  static auto* const real = next<int(FILE*)>("fclose");
  const Answer answer = answer_to("fclose", fileno(file), Waits::no);
  const int error = errno, result = real(file);
  if (answer == Answer::proceed) return result;
  errno = error;
  return EOF;
}

}  // extern "C"
