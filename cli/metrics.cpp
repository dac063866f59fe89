#include "cli/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

void note(const nlohmann::json& line, Metrics::Past& past) {
  past.time = line.value("time", past.time);
  if (line.value("split", "") != "test") return;
  const std::int64_t step = line.value("step", std::int64_t{-1});
  if (line.value("final", false)) {
    past.finished = step;
  } else if (line["bits_per_dim"].is_number() &&
             (!past.best || line["bits_per_dim"].get<double>() < *past.best)) {
    past.best = line["bits_per_dim"].get<double>();
    past.best_step = step;
  }
}

}  // namespace

Metrics::Metrics(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail_errno(path, "open");
}

Metrics::~Metrics() {
  close(file_);
}

Metrics::Past Metrics::cut_after(std::int64_t step) {
  Past past;
  std::ifstream lines(path_, std::ios::binary);
  off_t kept = 0;
  for (std::string text; std::getline(lines, text) && !lines.eof();) {
    const auto line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object() || line.value("step", step + 1) > step) break;
    note(line, past);
    kept += static_cast<off_t>(text.size()) + 1;
  }
  if (ftruncate(file_, kept) != 0) fail_errno(path_, "truncate");
  return past;
}

void Metrics::append(const nlohmann::ordered_json& line) {
  const std::string text = line.dump() + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = write(file_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_errno(path_, "write");
    done += static_cast<std::size_t>(written);
  }
}

void Metrics::sync() {
  if (fsync(file_) != 0) fail_errno(path_, "sync");
}

}  // namespace rheo::cli
