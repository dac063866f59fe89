#include "cli/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <regex>

#include "cli/failure.h"
#include "cli/text_file.h"
#include "rheo/checkpoint.h"
#include "rheo/image.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "step_";
constexpr const char* kOld = ".old-";  // of a checkpoint that is being replaced

/// Whether a file of a checkpoint is not for this user to read.
bool is_barred(const std::string& folder) {
  const auto barred = [&](const char* name) {
    return access((folder + name).c_str(), R_OK) != 0 && errno == EACCES;
  };
  return barred("/model.safetensors") || barred("/state.safetensors");
}

std::string step_name(std::int64_t step) {
  return fmt::format("{}{:08}", kPrefix, step);
}

void rename_over(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) fail_errno(to, "rename to this");
}

/// Where the file system cannot make two names change places, as NFS cannot: for a moment there is
/// none of this name, and what was there has one from which remove_leftovers brings it back.
void put_in_two_steps(const std::string& from, const std::string& folder, const std::string& name) {
  const std::string to = folder + "/" + name, old = folder + "/" + kOld + name;
  rename_over(to, old);
  rename_over(from, to);
  sync(folder);
  fs::remove_all(old);
}

/// A folder that is not empty cannot be renamed over: the two change places, so that whatever links
/// to the name find a whole one at any time.
void put_folder(const std::string& from, const std::string& folder, const std::string& name) {
  const std::string to = folder + "/" + name;
  if (rename(from.c_str(), to.c_str()) == 0) return sync(folder);
  const bool taken = errno == ENOTEMPTY || errno == EEXIST;
  if (taken && renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    sync(folder);
    fs::remove_all(from);
    return;
  }
  if (!taken || (errno != EINVAL && errno != ENOSYS)) fail_errno(to, "rename to this");
  put_in_two_steps(from, folder, name);
}

const std::string& made(const std::string& run) {
  fs::create_directories(run + "/checkpoints");
  fs::create_directories(run + "/samples");
  return run;
}

/// What a process that was killed may leave. Files of the library, whose names may have been taken,
/// end with a further number.
bool is_temporary(const std::string& name) {
  static const std::regex ours(R"(\.tmp-(step_\d+|last|best)-\d+|)"
                               R"((config\.json|(latest|step_\d+)\.(png|npy))\.tmp-\d+(-\d+)?)");
  return std::regex_match(name, ours);
}

/// Whether there is nothing but what is made before config.json, with which a run begins.
bool is_bare(const std::string& path) {
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    const bool made = name == "checkpoints" || name == "samples";
    if (made ? !fs::is_empty(entry.path()) : !name.starts_with("config.json.tmp-")) return false;
  }
  return true;
}

/// Throws where one of its files is damaged or they were not saved together.
void require_whole(const std::string& checkpoint) {
  const CheckpointInfo model = inspect_checkpoint(checkpoint + "/model.safetensors");
  inspect_state(checkpoint + "/state.safetensors", &model);
}

}  // namespace

void RunDirectory::require_fresh(const std::string& path) {
  if (!fs::exists(path)) return;
  if (!fs::is_directory(path))
    fail(Errc::invalid_argument, "--run {}: must be a folder; it is a file", path);
  if (!is_bare(path))
    fail(Errc::invalid_argument, "--run {}: must be empty or missing; go on with --resume", path);
}

void RunDirectory::require_run(const std::string& path) {
  if (!fs::is_regular_file(path + "/config.json"))
    fail(Errc::bad_file,
         "--run {}: holds no run to resume: there is no config.json; begin one without --resume",
         path);
}

RunDirectory::Lock::Lock(const std::string& folder)
    : file_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (file_ < 0) fail_errno(folder, "open");
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(file_);
  errno = error;
  if (error != EWOULDBLOCK) fail_errno(folder, "lock");
  fail(Errc::invalid_argument, "--run {}: another rheo train is at work in it", folder);
}

RunDirectory::Lock::~Lock() {
  close(file_);
}

RunDirectory::RunDirectory(const std::string& path) : path_(made(path)), lock_(path) {
  remove_leftovers();
}

/// Their writers are dead, for this process holds the lock.
void RunDirectory::remove_leftovers() const {
  for (const std::string& folder : {path_, path_ + "/samples", path_ + "/checkpoints"})
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (is_temporary(name)) fs::remove_all(entry.path());
    }
  const std::string folder = path_ + "/checkpoints/", old = kOld;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string whole = name.starts_with(old) ? name.substr(old.size()) : "";
    if (!step_of(whole)) continue;
    if (!fs::exists(folder + whole)) rename_over(entry.path().string(), folder + whole);
    fs::remove_all(entry.path());
  }
}

std::optional<std::int64_t> RunDirectory::step_of(const std::string& name) {
  std::int64_t step = 0;
  const std::size_t skip = std::char_traits<char>::length(kPrefix);
  if (!name.starts_with(kPrefix) || name.size() == skip) return {};
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + skip, end, step);
  if (read.ec != std::errc() || read.ptr != end || step_name(step) != name) return {};
  return step;
}

bool RunDirectory::begun() const {
  return fs::exists(config_path());
}

std::string RunDirectory::checkpoint(const std::string& run, std::int64_t step) {
  return run + "/checkpoints/" + step_name(step);
}

std::vector<std::int64_t> RunDirectory::steps(const std::string& run) {
  std::vector<std::int64_t> all;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
    if (const auto step = step_of(entry.path().filename().string())) all.push_back(*step);
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<std::int64_t> RunDirectory::newest_whole(
    const std::function<void(const std::string&)>& warn) const {
  std::vector<std::pair<std::int64_t, std::string>> damaged;
  const auto all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    try {
      require_whole(checkpoint(*step));
    } catch (const Error& error) {
      // What the system fails to read may well be whole.
      if (error.code() != Errc::bad_file || is_barred(checkpoint(*step))) throw;
      damaged.emplace_back(*step, error.what());
      continue;
    }
    for (const auto& [worse, reason] : damaged) {
      warn(fmt::format("{}; going on from {}", reason, step_name(*step)));
      set_aside(worse);
    }
    mend_links(*step);
    return *step;
  }
  if (!damaged.empty())
    fail(Errc::bad_file,
         "--run {}: has no whole checkpoint: {}; without {}/checkpoints it begins anew (a "
         "model.safetensors in there that is whole can still sample and score)",
         path_, damaged.front().second, path_);
  return {};
}

bool RunDirectory::has(std::int64_t step) const {
  return fs::is_directory(checkpoint(step));
}

void RunDirectory::set_aside(std::int64_t step) const {
  const std::string folder = path_ + "/checkpoints", name = folder + "/damaged_" + step_name(step);
  fs::remove_all(name);
  rename_over(checkpoint(step), name);
  sync(folder);
}

/// A run that was killed between saving and linking, or whose newest checkpoint was set aside.
void RunDirectory::mend_links(std::int64_t last) const {
  const std::string best = path_ + "/checkpoints/best";
  if (linked("last") != step_name(last)) link("last", last);
  if (fs::is_symlink(best) && !fs::exists(best)) fs::remove(best);
}

std::string RunDirectory::linked(const std::string& name) const {
  std::error_code missing;
  return fs::read_symlink(path_ + "/checkpoints/" + name, missing).string();
}

void RunDirectory::write_config(const std::string& text) const {
  write_text(config_path(), text);
}

bool RunDirectory::has_samples(std::int64_t step) const {
  const std::string name = path_ + "/samples/" + step_name(step);
  return fs::exists(name + ".png") || fs::exists(name + ".npy");
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
    put_folder(temporary, folder, step_name(step));
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to tell of
    fs::remove_all(temporary, ignored);
    throw;
  }
  link("last", step);
}

void RunDirectory::link(const std::string& name, std::int64_t step) const {
  const std::string folder = path_ + "/checkpoints";
  const std::string temporary = fmt::format("{}/.tmp-{}-{}", folder, name, getpid());
  fs::remove(temporary);
  if (symlink(step_name(step).c_str(), temporary.c_str()) != 0)
    fail_errno(temporary, "make a link");
  rename_over(temporary, folder + "/" + name);
  sync(folder);
}

void RunDirectory::prune(int keep) const {
  const auto all = steps();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    const std::string name = step_name(all[i]);
    if (name != linked("last") && name != linked("best")) remove_checkpoint(name);
  }
}

void RunDirectory::remove_after(std::int64_t step) const {
  for (const std::int64_t newer : steps())
    if (newer > step) remove_checkpoint(step_name(newer));
  mend_links(step);
}

/// By way of another name, for one that is killed on the way must leave no part under the final
/// one.
void RunDirectory::remove_checkpoint(const std::string& name) const {
  const std::string folder = path_ + "/checkpoints";
  const std::string temporary = fmt::format("{}/.tmp-{}-{}", folder, name, getpid());
  rename_over(folder + "/" + name, temporary);
  fs::remove_all(temporary);
}

}  // namespace rheo::cli
