#include "cli/failure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>

namespace rheo::cli {

namespace {

int exit_code(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::bad_file:
      return kBadInput;
    case Errc::out_of_memory:
      return kMemory;
    case Errc::io:
      return kIo;
    case Errc::diverged:
      return kDiverged;
    case Errc::unsupported:
    case Errc::device:
      return kOther;
  }
  return kOther;
}

std::string on_one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\x{:02x}", byte);
    else
      line += c;
  }
  return line;
}

}  // namespace

void fail_errno(const std::string& path, const char* what) {
  const int error = errno;
  fail(Errc::io, "{}: cannot {}: {}", path, what, std::strerror(error));
}

int report(const std::string& message, int code) {
  // A line that cannot be written to stderr has nowhere else to go.
  std::fputs(("rheo: " + on_one_line(message) + "\n").c_str(), stderr);
  return code;
}

int report(const std::exception& error) {
  if (const auto* known = dynamic_cast<const Error*>(&error))
    return report(known->what(), exit_code(known->code()));
  // vector throws length_error for sizes that no machine has.
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const std::length_error*>(&error))
    return report("out of memory; use a smaller batch, fewer images or a smaller model", kMemory);
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return report(file->path1().string() + ": " + file->code().message(), kIo);
  return report(error.what(), kOther);
}

}  // namespace rheo::cli
