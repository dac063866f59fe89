#pragma once

#include <cerrno>
#include <string>

namespace rheo::cli {

/// f(), again where a signal interrupted it.
template <class F>
auto retried(const F& f) {
  decltype(f()) result;
  do result = f();
  while (result < 0 && errno == EINTR);
  return result;
}

/// The whole of a regular file. @throws Error io where the system fails to read it, bad_file where
/// it cannot be opened by this user, is not there or is no regular file.
std::string read_text(const std::string& path);

/// Writes a file that appears whole or not at all: under a temporary name, synced, then renamed.
/// @throws Error io.
void write_text(const std::string& path, const std::string& text);

/// Writes all of it to an open file, for messages named `path`. @throws Error io.
void write_all(int file, const std::string& path, const std::string& text);

/// Makes what was written to a file, or the renames inside a folder, last. @throws Error io.
void sync(const std::string& path);

}  // namespace rheo::cli
