#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "rheo/error.h"

namespace rheo::test {

using Bytes = std::vector<std::uint8_t>;

/// A folder of one test's own, removed with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    // In memory where there is such a place: every synced write would wait for the disk.
    std::error_code ignored;
    const std::filesystem::path memory = "/dev/shm";
    const auto base = ::access(memory.c_str(), W_OK) == 0
                          ? memory
                          : std::filesystem::temp_directory_path(ignored);
    std::string name = (base / "rheo-test-XXXXXX").string();
    if (::mkdtemp(name.data())) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file, and its folders, and returns its path.
  std::string write(const std::string& name, const Bytes& bytes) const {
    std::string path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  /// How many files and folders there are right in it.
  int entries() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_)) ++count;
    return count;
  }

 private:
  std::string path_;
};

inline Bytes bytes_of(const std::string& text) {
  return Bytes(text.begin(), text.end());
}

/// That `act` throws an Error of this code whose text holds `part`.
template <class Act>
void expect_error(Errc code, const std::string& part, const Act& act) {
  try {
    act();
    ADD_FAILURE() << "no error, wanted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << "wanted: " << part << "\ngot: " << error.what();
  }
}

/// Runs `act` on hostile input: it may succeed or throw bad_file, nothing else. True if it threw.
template <class Act>
bool refuses(const Act& act) {
  try {
    act();
    return false;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::bad_file) << error.what();
    return true;
  }
}

}  // namespace rheo::test
