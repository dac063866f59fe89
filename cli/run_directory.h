#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rheo/tensor.h"
#include "rheo/trainer.h"

namespace rheo::cli {

/// The folder of one training run:
///   config.json metrics.jsonl samples/step_00001000.png samples/latest.png (of vectors .npy)
///   checkpoints/step_00001000/{model,state}.safetensors checkpoints/{last,best} -> step_...
/// Whatever is in it under its final name is whole. One process at a time holds it.
class RunDirectory {
 public:
  /// @throws Error invalid_argument unless `path` is missing or a folder in which no run has begun.
  static void require_fresh(const std::string& path);
  /// @throws Error bad_file unless `path` is the folder of a run.
  static void require_run(const std::string& path);

  /// Makes what is missing, and removes what a killed run left half-written.
  /// @throws Error invalid_argument where another process holds it; io.
  explicit RunDirectory(const std::string& path);
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string config_path() const { return path_ + "/config.json"; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string checkpoint(std::int64_t step) const { return checkpoint(path_, step); }
  static std::string checkpoint(const std::string& run, std::int64_t step);

  /// Whether a run has begun in it.
  bool begun() const;

  /// The step of the newest checkpoint that is whole: both files, saved together. Damaged ones that
  /// are newer get the name damaged_step_..., out of the way but not lost, and `warn` is told of
  /// each; `last` then points at what is found. None where there is no checkpoint.
  /// @throws Error bad_file where there are some and none is whole; newer_file, with all left as it
  /// is, where a newer rheo wrote the newest that is not damaged; io where it cannot be read.
  std::optional<std::int64_t> newest_whole(
      const std::function<void(const std::string&)>& warn) const;

  /// Whether there is a checkpoint of this step.
  bool has(std::int64_t step) const;

  void write_config(const std::string& text) const;
  bool has_samples(std::int64_t step) const;
  void save_samples(std::int64_t step, const Pixels& grid) const;
  void save_samples(std::int64_t step, const Tensor& vectors) const;

  /// Writes the trainer's checkpoint and links `last` to it. The folder gets its name only once
  /// both files are on the disk.
  void save(Trainer& trainer) const;

  /// Makes checkpoints/`name` point at a step's checkpoint.
  void link(const std::string& name, std::int64_t step) const;

  /// Removes all checkpoints but the newest `keep` and those that `last` and `best` point at.
  void prune(int keep) const;

  /// Gives a damaged checkpoint the name damaged_step_..., instead of an earlier one of this step.
  /// These are never pruned: they are the user's to look at and to remove.
  void set_aside(std::int64_t step) const;

  /// Removes what is newer than this step, for a run that goes on from there.
  void remove_after(std::int64_t step) const;

  /// Of all checkpoints, the oldest first.
  std::vector<std::int64_t> steps() const { return steps(path_); }
  static std::vector<std::int64_t> steps(const std::string& run);

  /// Of a checkpoint's folder by this name; none of any other.
  static std::optional<std::int64_t> step_of(const std::string& name);

 private:
  std::string linked(const std::string& name) const;
  void remove_leftovers() const;
  void mend_links(std::int64_t last) const;
  void remove_checkpoint(const std::string& name) const;

  /// A folder, locked for as long as this is there.
  class Lock {
   public:
    explicit Lock(const std::string& folder);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    int file_;
  };

  std::string path_;
  Lock lock_;
};

}  // namespace rheo::cli
