#pragma once

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
  /// @throws Error invalid_argument unless `path` is missing or an empty folder.
  static void require_fresh(const std::string& path);
  /// @throws Error bad_file unless `path` is the folder of a run.
  static void require_run(const std::string& path);

  /// Makes what is missing, and removes what a killed run left half-written.
  /// @throws Error invalid_argument where another process holds it; io.
  explicit RunDirectory(const std::string& path);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string config_path() const { return path_ + "/config.json"; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string checkpoint(std::int64_t step) const { return checkpoint(path_, step); }
  static std::string checkpoint(const std::string& run, std::int64_t step);

  /// Whether a run has begun in it.
  bool begun() const;

  /// The step of the newest checkpoint.
  std::optional<std::int64_t> newest() const;

  void write_config(const std::string& text) const;
  void save_samples(std::int64_t step, const Pixels& grid) const;
  void save_samples(std::int64_t step, const Tensor& vectors) const;

  /// Writes the trainer's checkpoint and links `last` to it. The folder gets its name only once
  /// both files are on the disk.
  void save(Trainer& trainer) const;

  /// Makes checkpoints/`name` point at a step's checkpoint.
  void link(const std::string& name, std::int64_t step) const;

  /// Removes all checkpoints but the newest `keep` and those that `last` and `best` point at.
  void prune(int keep) const;

 private:
  std::vector<std::int64_t> steps() const;
  void remove_leftovers() const;

  std::string path_;
  int lock_;
};

}  // namespace rheo::cli
