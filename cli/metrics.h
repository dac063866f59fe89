#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace rheo::cli {

/// metrics.jsonl: one object to a line, only ever appended to.
class Metrics {
 public:
  /// Opens the file, made if missing. @throws Error io.
  explicit Metrics(const std::string& path);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// What the lines that are kept say.
  struct Past {
    double time = 0;             ///< Seconds of training.
    std::optional<double> best;  ///< Lowest loss of periodic tests whose model is saved.
    std::int64_t best_step = -1;
    std::int64_t tested = -1;    ///< Step of the last periodic test.
    std::int64_t finished = -1;  ///< Step of the last closing test.
    std::int64_t rollbacks = 0;  ///< Lines that tell of one.
    std::int64_t updates = 0;    ///< Step of the last update.
  };

  /// Cuts off what came after `step`, and a torn line at the end, so that a resumed run has each
  /// step once. `has` says of which steps there is a checkpoint: a test whose model was not saved
  /// does not count for the best. @throws Error bad_file for a foreign line before the end; io.
  Past cut_after(std::int64_t step, const std::function<bool(std::int64_t)>& has);

  void append(const nlohmann::ordered_json& line);

  /// What was appended is on the disk when this returns.
  void sync();

 private:
  std::string path_;
  int file_;
};

/// The lines of a metrics.jsonl.
struct MetricsLines {
  std::int64_t count = 0;
  std::int64_t updates = 0;
  bool torn = false;  ///< The last one is not whole, and not counted.
};

/// Looks whether they are a run's, and have each update from the first on once. @throws Error
/// bad_file naming the line that is not so; io.
MetricsLines check_metrics(const std::string& path);

}  // namespace rheo::cli
