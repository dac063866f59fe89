#include "cli/failure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string_view>

namespace rheo::cli {

namespace {

int exit_code(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::bad_file:
    case Errc::newer_file:
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

/// Whether `text` has a control character of two bytes at `i`, U+0080 to U+009f in UTF-8: one of
/// them begins colours, as the escape character does.
bool is_wide_control(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  return i + 1 < text.size() && byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) < 0xa0;
}

}  // namespace

std::string on_one_line(const std::string& text) {
  std::string line;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (is_wide_control(text, i))
      line += fmt::format("\\xc2\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\x{:02x}", byte);
    else
      line += text[i];
  }
  return line;
}

void fail_errno(const std::string& path, const char* what) {
  const int error = errno;
  fail(Errc::io, "{}: cannot {}: {}", path, what, std::strerror(error));
}

std::string words_of(const Error& error) {
  constexpr std::string_view kField = "scale = bounded", kOption = "--scale bounded";
  std::string text = error.what();
  if (const auto at = text.find(kField); at != text.npos) text.replace(at, kField.size(), kOption);
  return text;
}

void warn(const std::string& message) {
  // A line that cannot be written to stderr has nowhere else to go.
  std::fputs(("rheo: " + on_one_line(message) + "\n").c_str(), stderr);
}

int report(const std::string& message, int code) {
  warn(message);
  return code;
}

int report(const std::exception& error) {
  if (const auto* known = dynamic_cast<const Error*>(&error))
    return report(words_of(*known), exit_code(known->code()));
  // vector throws length_error for sizes that no machine has.
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const std::length_error*>(&error))
    return report("out of memory; use a smaller batch, fewer images or a smaller model", kMemory);
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return report(file->path1().string() + ": " + file->code().message(), kIo);
  return report(error.what(), kOther);
}

}  // namespace rheo::cli
