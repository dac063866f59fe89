#include "cli/output.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "cli/failure.h"
#include "rheo/image.h"

namespace rheo::cli {

void guard_standard_descriptors() {
  for (const int wanted : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(wanted, F_GETFD) >= 0) continue;
    // The lowest free descriptor is the one that is missing. Read-only: writing goes on failing.
    if (open("/dev/null", O_RDONLY) != wanted) return;
  }
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void flush_results() {
  const bool lost = std::ferror(stdout) != 0;
  if (std::fflush(stdout) != 0 || lost) fail_errno("standard output", "write");
}

std::string require_output(const std::string& path, std::initializer_list<const char*> endings,
                           const char* option) {
  namespace fs = std::filesystem;
  const std::string ending = fs::path(path).extension().string();
  const bool known = std::any_of(endings.begin(), endings.end(),
                                 [&](const char* e) { return ending == std::string(".") + e; });
  if (!known)
    misuse(option, "{} must end in .{}", path,
           fmt::join(std::vector<std::string>(endings.begin(), endings.end()), " or ."));
  const std::string folder =
      fs::path(path).has_parent_path() ? fs::path(path).parent_path().string() : ".";
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) fail(Errc::io, "{}: is a folder, not a file", path);
  if (access(folder.c_str(), W_OK | X_OK) != 0) fail_errno(folder, "write to this folder");
  if (!fs::is_directory(folder, unknown)) fail(Errc::io, "{}: is no folder", folder);
  return ending.substr(1);
}

void require_npy(const std::string& path, const std::string& ending) {
  if (ending != "npy")
    fail(Errc::invalid_argument,
         "--output {}: must end in .npy, for the model makes vectors and no pictures", path);
}

void write_grid(const std::string& path, const Pixels& images, std::int64_t columns) {
  const auto square =
      static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(images.shape[0]))));
  write_png(path, image_grid(images, static_cast<int>(columns > 0 ? columns : square)));
}

}  // namespace rheo::cli
