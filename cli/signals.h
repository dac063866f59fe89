#pragma once

#include "rheo/tensor.h"

namespace rheo::cli {

/// From here on a closed pipe and a file over its limit are errors of write, not the end.
void ignore_write_signals();

/// The first SIGINT or SIGTERM is kept for stop_requested; a second of its kind ends the process.
void catch_stop_signals();

/// The number of the signal that asked to stop, or 0.
int stop_requested();

/// `inner`, which may be empty, with an end: throws Stopped once a signal has asked to stop.
Progress stoppable(Progress inner = {});

}  // namespace rheo::cli
