#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cli/failure.h"
#include "cli/options.h"

namespace rheo::cli {

namespace {

using namespace std::chrono_literals;

/// Of a bar, so that the line fits into 80 columns.
constexpr std::size_t kCells = 12;

bool set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

bool on_a_terminal() {
  const char* term = std::getenv("TERM");
  const bool dumb = term && std::strcmp(term, "dumb") == 0;
  return isatty(STDERR_FILENO) && !dumb && !set("NO_COLOR") && !set("CI");
}

std::size_t terminal_width() {
  winsize size = {};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

ProgressLine::~ProgressLine() {
  clear();
}

void ProgressLine::add_flag(CLI::App& app) {
  app.add_option("--progress", choice_,
                 "auto, bar, plain (a line every 10 s) or none (errors only); auto is a bar on a "
                 "terminal without NO_COLOR, CI or TERM=dumb, else plain")
      ->check(one_of({"auto", "bar", "plain", "none"}))
      ->capture_default_str();
}

ProgressLine::Style ProgressLine::style() const {
  if (choice_ == "none") return Style::none;
  if (choice_ == "auto") return on_a_terminal() ? Style::bar : Style::plain;
  return choice_ == "bar" ? Style::bar : Style::plain;
}

bool ProgressLine::due() const {
  const Style now = style();
  return now != Style::none && Clock::now() - shown_ >= (now == Style::bar ? 100ms : 10s);
}

void ProgressLine::update(const std::string& text, double fraction) {
  if (!due()) return;
  shown_ = Clock::now();
  if (style() == Style::bar)
    draw_bar(text, fraction);
  else
    std::fputs((text + "\n").c_str(), stderr);
}

void ProgressLine::draw_bar(const std::string& text, double fraction) {
  const auto full = static_cast<std::size_t>(std::clamp(fraction, 0., 1.) * kCells);
  const std::string bar =
      fmt::format("[{}{}] {}", std::string(full, '='), std::string(kCells - full, ' '), text);
  // A line as wide as the terminal would wrap and could not be drawn over.
  std::fputs(("\r" + bar.substr(0, terminal_width() - 1) + "\x1b[K").c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::note(const std::string& text) {
  clear();
  if (style() != Style::none) std::fputs((on_one_line(text) + "\n").c_str(), stderr);
}

void ProgressLine::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

Progress ProgressLine::count(const std::string& what, std::int64_t before, std::int64_t all) {
  return [this, what, before, all](std::int64_t done, std::int64_t total) {
    const std::int64_t end = all ? all : total;
    update(fmt::format("{} {} of {} {}", what, before + done, end, items_),
           end > 0 ? static_cast<double>(before + done) / static_cast<double>(end) : 0);
  };
}

std::string clock_time(double seconds) {
  const auto whole = static_cast<long>(std::clamp(seconds, 0., 3.6e9));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace rheo::cli
