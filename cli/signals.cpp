#include "cli/signals.h"

#include <atomic>
#include <csignal>
#include <utility>

#include "cli/failure.h"

namespace rheo::cli {

namespace {

std::atomic<int> caught = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not take a lock");

extern "C" void remember(int signal) {
  caught = signal;
}

}  // namespace

void ignore_write_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction inherited = {};
    sigaction(signal, nullptr, &inherited);
    // nohup and a shell's background jobs ask to be left alone.
    if (inherited.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

int stop_requested() {
  return caught;
}

Progress stoppable(Progress inner) {
  return [inner = std::move(inner)](std::int64_t done, std::int64_t total) {
    if (stop_requested()) throw Stopped{};
    if (inner) inner(done, total);
  };
}

}  // namespace rheo::cli
