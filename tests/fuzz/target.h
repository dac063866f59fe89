#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "rheo/error.h"

namespace rheo::fuzz {

using Bytes = std::span<const std::uint8_t>;

/// The one input as a file without a disk behind it: readers take paths.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  /// Its path, once `parts`, one behind the other, are all that is in it.
  const std::string& holding(std::initializer_list<Bytes> parts);

 private:
  int file_;
  std::string path_;
};

/// Ends the process, which the fuzzer and its replay take for a defect.
void require(bool holds, const char* what);

/// A refusal that a person can act on: one line of printable text.
void require_sound(const Error& error);

/// Runs `read` on hostile input: it returns, or throws Error bad_file or newer_file. Whatever else
/// it throws ends the process.
template <class Read>
void expect_result_or_refusal(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    require_sound(error);
  }
}

// One for each format; the name is also that of its folder in corpus/.
void safetensors(Bytes input);
void checkpoint(Bytes input);
void state(Bytes input);
void config(Bytes input);
void options(Bytes input);
void settings(Bytes input);
void record(Bytes input);
void metrics(Bytes input);
void npy(Bytes input);
void idx(Bytes input);
void idx_gzip(Bytes input);
void cifar(Bytes input);
void png(Bytes input);
void jpeg(Bytes input);

}  // namespace rheo::fuzz
