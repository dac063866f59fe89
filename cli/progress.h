#pragma once

#include <chrono>
#include <string>

#include "rheo/tensor.h"

namespace CLI {
class App;
}

namespace rheo::cli {

/// One line on stderr that says how far work has come.
///
/// On a terminal it is redrawn in place; elsewhere, where control characters would fill a log, it
/// is an ordinary line every ten seconds.
class ProgressLine {
 public:
  ProgressLine() = default;
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// What is counted: "images", unless told.
  void set_items(const char* items) { items_ = items; }

  /// Adds --progress to a command.
  void add_flag(CLI::App& app);

  /// Shows `text` if it is time to; `fraction` (0..1) of the work is done.
  void update(const std::string& text, double fraction);

  /// True where update would show something: for callers whose text is dear.
  bool due() const;

  /// A line that stays, unless --progress none.
  void note(const std::string& text);

  /// Takes a bar off the terminal.
  void clear();

  /// A callback that shows "scoring 1200 of 10000 images", counting from `before` to `all`
  /// (0: what the caller of the callback says).
  Progress count(const std::string& what, std::int64_t before = 0, std::int64_t all = 0);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Style { bar, plain, none };

  Style style() const;
  void draw_bar(const std::string& text, double fraction);

  std::string choice_ = "auto";
  const char* items_ = "images";
  Clock::time_point shown_ = Clock::now();
  bool drawn_ = false;
};

/// "1:02:03" or "2:03".
std::string clock_time(double seconds);

}  // namespace rheo::cli
