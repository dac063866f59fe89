#include "tests/fuzz/target.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace rheo::fuzz {

MemoryFile::MemoryFile()
    : file_(::memfd_create("input", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(file_)) {
  require(file_ >= 0, "memfd_create failed");
}

MemoryFile::~MemoryFile() {
  ::close(file_);
}

const std::string& MemoryFile::holding(std::initializer_list<Bytes> parts) {
  off_t at = 0;
  for (const Bytes part : parts) {
    const auto size = static_cast<ssize_t>(part.size());
    require(::pwrite(file_, part.data(), part.size(), at) == size, "pwrite failed");
    at += size;
  }
  require(::ftruncate(file_, at) == 0, "ftruncate failed");
  return path_;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void require_sound(const Error& error) {
  const std::string text = error.what();
  bool printable = !text.empty();
  for (const char c : text) printable = printable && c >= ' ' && c <= '~';
  const bool refusal = error.code() == Errc::bad_file || error.code() == Errc::newer_file;
  if (refusal && printable) return;
  std::fprintf(stderr, "fuzz: code %d: %s\n", static_cast<int>(error.code()), text.c_str());
  std::abort();
}

}  // namespace rheo::fuzz
