#pragma once

// The memory that a piece of work takes, as the system sees it: Linux and glibc.

#include <malloc.h>

#include <fstream>
#include <string>

namespace rheo::bench {

/// The process' largest resident size from `restart` on, less its size when this was made. What a
/// library keeps for its next call (oneDNN its scratch memory and compiled kernels) counts in the
/// row that first asked for it.
class PeakMemory {
 public:
  PeakMemory() {
    malloc_trim(0);  // what is freed and kept would count
    before_ = resident("VmRSS:");
  }

  void restart() {
    malloc_trim(0);
    std::ofstream file("/proc/self/clear_refs");
    file << "5" << std::flush;  // VmHWM starts again from the present size; see proc(5)
    known_ = file.good();
  }

  /// False where the system refused to start again.
  bool known() const { return known_; }

  double mebibytes() const { return static_cast<double>(resident("VmHWM:") - before_) / 1024; }

 private:
  /// KiB of a line of the process' status; 0 where there is none.
  static long resident(const std::string& key) {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;)
      if (long kibibytes = 0; word == key && file >> kibibytes) return kibibytes;
    return 0;
  }

  long before_ = 0;
  bool known_ = false;
};

}  // namespace rheo::bench
