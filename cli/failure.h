#pragma once

#include <fmt/format.h>

#include <CLI/Error.hpp>
#include <exception>
#include <string>

#include "rheo/error.h"

namespace rheo::cli {

constexpr int kDone = 0;
constexpr int kOther = 1;
constexpr int kUsage = 2;
constexpr int kBadInput = 3;
constexpr int kMemory = 4;
constexpr int kIo = 5;
constexpr int kDiverged = 6;
constexpr int kSignal = 128;  // plus the signal's number

template <class... Args>
[[noreturn]] void fail(Errc code, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(code, fmt::format(text, std::forward<Args>(args)...));
}

/// Options that are wrong by themselves or do not go together; `option` is the one to blame.
template <class... Args>
[[noreturn]] void misuse(const char* option, fmt::format_string<Args...> text, Args&&... args) {
  throw CLI::ValidationError(option, fmt::format(text, std::forward<Args>(args)...));
}

/// `text` with its control characters, which a file name may hold, escaped: "a\\x0ab".
std::string on_one_line(const std::string& text);

/// Throws Errc::io with the text of the current errno.
[[noreturn]] void fail_errno(const std::string& path, const char* what);

/// A signal asked a command to stop before it had anything to save.
struct Stopped {};

/// What an error of the library says, with the option in place of the field of the API.
std::string words_of(const Error& error);

/// Says on one line of stderr what went wrong, and returns the exit code.
int report(const std::exception& error);
int report(const std::string& message, int code);

/// A line on stderr of what should be known though the command goes on.
void warn(const std::string& message);

}  // namespace rheo::cli
