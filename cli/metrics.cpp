#include "cli/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <optional>

#include "cli/failure.h"
#include "cli/text_file.h"

namespace rheo::cli {

namespace {

/// What counts here of a line.
struct Line {
  std::int64_t step = 0;
  double time = 0;
  bool update = false;
  bool test = false;
  bool rollback = false;
  bool last = false;
  std::optional<double> loss;  // nats of vectors, bits/dim of images; a NaN was written as null
};

/// Null where there is none.
const nlohmann::json& field(const nlohmann::json& line, const char* key) {
  static const nlohmann::json null;
  const auto found = line.find(key);
  return found == line.end() ? null : *found;
}

/// Empty for what no run can have written, such as a torn line.
std::optional<Line> parsed(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return {};
  const auto &step = field(json, "step"), &time = field(json, "time"),
             &split = field(json, "split"), &last = field(json, "final"),
             &loss = field(json, json.contains("nats") ? "nats" : "bits_per_dim");
  const bool ours = step.is_number_integer() && time.is_number() && split.is_string() &&
                    (loss.is_number() || loss.is_null()) && (last.is_boolean() || last.is_null());
  if (!ours) return {};
  Line line;
  line.step = step.get<std::int64_t>(), line.time = time.get<double>();
  if (line.step < 0) return {};  // 2^63 and more
  line.update = split == "train", line.test = split == "test";
  line.rollback = split == "rollback", line.last = last == true;
  if (loss.is_number()) line.loss = loss.get<double>();
  return line;
}

/// Gives the lines to `take` while it wants more. Where those that it took end, which is before the
/// end of the file where it stopped, or a write was cut off: the last line has no end or no sense.
std::size_t each_line(const std::string& path, const std::string& text,
                      const std::function<bool(const Line&, std::int64_t number)>& take) {
  std::size_t begin = 0;
  std::int64_t number = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    const std::optional<Line> line = parsed(text.substr(begin, end - begin));
    ++number;
    if (!line && end + 1 < text.size())
      fail(Errc::bad_file, "{}: line {} is not a line of metrics; mend or remove it", path, number);
    if (!line || !take(*line, number)) break;
  }
  return begin;
}

void note(const Line& line, const std::function<bool(std::int64_t)>& has, Metrics::Past& past) {
  past.time = line.time;
  past.rollbacks += line.rollback;
  if (line.update) past.updates = line.step;
  if (!line.test) return;
  if (line.last) {
    past.finished = line.step;
    return;
  }
  past.tested = line.step;
  if (line.loss && has(line.step) && (!past.best || *line.loss < *past.best)) {
    past.best = line.loss;
    past.best_step = line.step;
  }
}

}  // namespace

Metrics::Metrics(const std::string& path) : path_(path) {
  file_ =
      retried([&] { return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666); });
  if (file_ < 0) fail_errno(path, "open");
}

Metrics::~Metrics() {
  close(file_);
}

Metrics::Past Metrics::cut_after(std::int64_t step, const std::function<bool(std::int64_t)>& has) {
  Past past;
  const std::size_t kept = each_line(path_, read_text(path_), [&](const Line& line, std::int64_t) {
    if (line.step > step) return false;
    note(line, has, past);
    return true;
  });
  if (retried([&] { return ftruncate(file_, static_cast<off_t>(kept)); }) != 0)
    fail_errno(path_, "truncate");
  return past;
}

void Metrics::append(const nlohmann::ordered_json& line) {
  write_all(file_, path_, line.dump() + "\n");
}

void Metrics::sync() {
  if (retried([&] { return fsync(file_); }) != 0) fail_errno(path_, "sync");
}

MetricsLines check_metrics(const std::string& path) {
  const std::string text = read_text(path);
  MetricsLines found;
  const std::size_t end = each_line(path, text, [&](const Line& line, std::int64_t number) {
    const std::int64_t due = found.updates + (line.update ? 1 : 0);
    if (line.step != due)
      fail(Errc::bad_file, "{}: line {} is of update {}; it must be of {}", path, number, line.step,
           due);
    found.count = number, found.updates = due;
    return true;
  });
  found.torn = end < text.size();
  return found;
}

}  // namespace rheo::cli
