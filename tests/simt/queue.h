#pragma once

#include <functional>
#include <memory>
#include <vector>

namespace simt {

/// Something queued on the device, and what has to have happened before it.
struct Operation {
  std::function<void()> run;  // may be empty: a place in a queue
  std::vector<std::shared_ptr<Operation>> after;
  bool done = false;
};
using Work = std::shared_ptr<Operation>;

/// Whether the policy is to run everything at once.
bool eager();

Work add(std::function<void()> run, std::vector<Work> after);

/// Runs what `work` needs, then it. If something throws, all that is queued is dropped.
void complete(Work work);
void complete_all();

}  // namespace simt
