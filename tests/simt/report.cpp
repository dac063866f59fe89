#include "report.h"

#include <algorithm>
#include <cstdio>

#include "block.h"

namespace simt {

char message[4096];

namespace {

bool alike(const Thread& a, const Thread& b) {
  if (a.state != b.state) return false;
  if (a.state == State::at_warp && a.mask != b.mask) return false;
  const bool waits = a.state == State::at_barrier || a.state == State::at_warp;
  return !waits || (a.site.line() == b.site.line() && a.site.column() == b.site.column() &&
                    a.site.file_name() == b.site.file_name());
}

int describe_thread(char* to, std::size_t room, const Thread& t) {
  const Site& s = t.site;
  switch (t.state) {
    case State::done:
      return std::snprintf(to, room, "returned");
    case State::at_barrier:
      return std::snprintf(to, room, "wait at the barrier %s:%u:%u in %s", s.file_name(), s.line(),
                           s.column(), s.function_name());
    case State::at_warp:
      return std::snprintf(to, room, "wait for the lanes %#010x at %s:%u:%u in %s", t.mask,
                           s.file_name(), s.line(), s.column(), s.function_name());
    default:
      return std::snprintf(to, room, "still run");
  }
}

}  // namespace

void describe(const char* format, std::va_list values) {
  std::vsnprintf(message, sizeof message, format, values);
}

void describe_threads(const char* what) {
  char* to = message;
  char* const end = message + sizeof message;
  const auto room = [&] { return static_cast<std::size_t>(end - to); };
  const auto advance = [&](int written) { to += std::min<int>(written, room() - 1); };
  advance(std::snprintf(to, room(), "%s", what));
  for (int first = 0; first < block.threads; ++first) {
    const Thread& t = block.thread[first];
    const auto like_first = [&](const Thread& other) { return alike(other, t); };
    const Thread* const begin = block.thread.data();
    if (std::any_of(begin, begin + first, like_first)) continue;
    advance(std::snprintf(to, room(), "\n  %td threads from %d on: ",
                          std::count_if(begin, begin + block.threads, like_first), first));
    advance(describe_thread(to, room(), t));
  }
}

}  // namespace simt
