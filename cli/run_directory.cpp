#include "cli/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "cli/failure.h"
#include "rheo/image.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "step_";

std::string step_name(std::int64_t step) {
  return fmt::format("{}{:08}", kPrefix, step);
}

std::optional<std::int64_t> step_of(const std::string& name) {
  std::int64_t step = 0;
  const std::size_t skip = std::char_traits<char>::length(kPrefix);
  if (!name.starts_with(kPrefix) || name.size() == skip) return {};
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + skip, end, step);
  if (read.ec != std::errc() || read.ptr != end || step_name(step) != name) return {};
  return step;
}

/// fsync by name; a folder's makes the renames inside it last.
void sync(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = file >= 0 && fsync(file) == 0;
  if (!good) fail_errno(path, "sync");
  close(file);
}

void rename_over(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) fail_errno(to, "rename to this");
}

/// A folder that is not empty cannot be renamed over: the two change places, so that whatever links
/// to the name find a whole one at any time.
void put_folder(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return;
  const bool taken = errno == ENOTEMPTY || errno == EEXIST;
  if (!taken || renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0)
    fail_errno(to, "rename to this");
  fs::remove_all(from);
}

void write_text(const std::string& path, const std::string& text) {
  const std::string temporary = fmt::format("{}.tmp-{}", path, getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (!file) fail_errno(temporary, "open");
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) {
    const int error = errno;
    unlink(temporary.c_str());
    errno = error;
    fail_errno(path, "write");
  }
  sync(temporary);
  rename_over(temporary, path);
  sync(fs::path(path).parent_path().string());
}

}  // namespace

void RunDirectory::require_fresh(const std::string& path) {
  if (!fs::exists(path)) return;
  if (!fs::is_directory(path))
    fail(Errc::invalid_argument, "--run {}: must be a folder; it is a file", path);
  if (!fs::is_empty(path))
    fail(Errc::invalid_argument, "--run {}: must be empty or missing; go on with --resume", path);
}

void RunDirectory::require_run(const std::string& path) {
  if (!fs::is_regular_file(path + "/config.json"))
    fail(Errc::bad_file, "--run {}: holds no run to resume: there is no config.json", path);
}

RunDirectory::RunDirectory(const std::string& path) : path_(path) {
  fs::create_directories(path + "/checkpoints");
  fs::create_directories(path + "/samples");
  lock_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail_errno(path, "open");
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    fail(Errc::invalid_argument, "--run {}: another rheo train is at work in it", path);
  }
  remove_leftovers();
}

RunDirectory::~RunDirectory() {
  close(lock_);
}

/// Their writers are dead, for this process holds the lock.
void RunDirectory::remove_leftovers() const {
  for (const std::string& folder : {path_, path_ + "/samples", path_ + "/checkpoints"})
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.find(".tmp-") != std::string::npos) fs::remove_all(entry.path());
    }
}

bool RunDirectory::begun() const {
  return fs::exists(config_path());
}

std::string RunDirectory::checkpoint(const std::string& run, std::int64_t step) {
  return run + "/checkpoints/" + step_name(step);
}

std::vector<std::int64_t> RunDirectory::steps() const {
  std::vector<std::int64_t> all;
  for (const auto& entry : fs::directory_iterator(path_ + "/checkpoints"))
    if (const auto step = step_of(entry.path().filename().string())) all.push_back(*step);
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<std::int64_t> RunDirectory::newest() const {
  const auto all = steps();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

void RunDirectory::write_config(const std::string& text) const {
  write_text(config_path(), text);
}

void RunDirectory::save_samples(std::int64_t step, const Pixels& grid) const {
  write_png(path_ + "/samples/" + step_name(step) + ".png", grid);
  write_png(path_ + "/samples/latest.png", grid);
}

void RunDirectory::save_samples(std::int64_t step, const Tensor& vectors) const {
  write_npy(path_ + "/samples/" + step_name(step) + ".npy", vectors);
  write_npy(path_ + "/samples/latest.npy", vectors);
}

void RunDirectory::save(Trainer& trainer) const {
  const std::int64_t step = trainer.steps_done();
  const std::string folder = path_ + "/checkpoints";
  const std::string temporary = fmt::format("{}/.tmp-{}-{}", folder, step_name(step), getpid());
  fs::remove_all(temporary);
  fs::create_directory(temporary);
  try {
    trainer.save(temporary);
    sync(temporary);
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to tell of
    fs::remove_all(temporary, ignored);
    throw;
  }
  put_folder(temporary, checkpoint(step));
  sync(folder);
  link("last", step);
}

void RunDirectory::link(const std::string& name, std::int64_t step) const {
  const std::string folder = path_ + "/checkpoints";
  const std::string temporary = fmt::format("{}/.tmp-{}-{}", folder, name, getpid());
  fs::remove(temporary);
  fs::create_symlink(step_name(step), temporary);
  rename_over(temporary, folder + "/" + name);
  sync(folder);
}

void RunDirectory::prune(int keep) const {
  const auto all = steps();
  std::vector<std::string> linked;
  for (const char* name : {"last", "best"}) {
    std::error_code missing;
    linked.push_back(fs::read_symlink(path_ + "/checkpoints/" + name, missing).string());
  }
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i)
    if (std::find(linked.begin(), linked.end(), step_name(all[i])) == linked.end())
      fs::remove_all(checkpoint(all[i]));
}

}  // namespace rheo::cli
