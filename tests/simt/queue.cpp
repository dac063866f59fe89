#include "queue.h"

#include <algorithm>
#include <utility>

#include "api.h"
#include "memory.h"
#include "order.h"
#include "simt/control.h"

namespace simt {
namespace {

Policy policy = Policy::late;

std::vector<Work>& pending() {
  static auto* const all = new std::vector<Work>;  // in the order of the calls
  return *all;
}

// Graphs make chains too long to be freed one inside the other.
void drop_all() {
  for (const Work& work : pending()) {
    work->done = true;
    work->after.clear();
  }
  pending().clear();
}

Work next_needed(Operation& operation) {
  std::erase_if(operation.after, [](const Work& w) { return w->done; });
  if (operation.after.empty()) return nullptr;
  return operation.after[choose(static_cast<std::uint32_t>(operation.after.size()))];
}

void run(Work last) {
  std::vector<Work> needed{std::move(last)};
  while (!needed.empty()) {
    const Work top = needed.back();
    if (Work first = next_needed(*top)) {
      needed.push_back(std::move(first));
      continue;
    }
    needed.pop_back();
    if (std::exchange(top->done, true) || !top->run) continue;
    const InsideDevice inside;
    std::exchange(top->run, nullptr)();
  }
}

void run_all(const std::function<Work()>& next) {
  const DeviceMemoryOpen open;
  try {
    while (Work work = next()) run(std::move(work));
  } catch (...) {
    drop_all();
    throw;
  }
  std::erase_if(pending(), [](const Work& w) { return w->done; });
}

}  // namespace

void set_policy(Policy chosen) {
  policy = chosen;
}

bool eager() {
  return policy == Policy::eager;
}

Work add(std::function<void()> run, std::vector<Work> after) {
  std::erase_if(after, [](const Work& w) { return !w || w->done; });
  auto work = std::make_shared<Operation>();
  work->run = std::move(run);
  work->after = std::move(after);
  pending().push_back(work);
  if (eager()) complete(work);
  return work;
}

void complete(Work work) {
  if (!work || work->done) return;
  run_all([&] { return std::exchange(work, nullptr); });
}

void complete_all() {
  if (pending().empty()) return;
  run_all([]() -> Work {
    std::erase_if(pending(), [](const Work& w) { return w->done; });
    if (pending().empty()) return nullptr;
    return pending()[choose(static_cast<std::uint32_t>(pending().size()))];
  });
}

}  // namespace simt
