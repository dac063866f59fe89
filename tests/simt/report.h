#pragma once

#include <cstdarg>

namespace simt {

/// What went wrong in the kernel that runs. A fixed place: whoever writes it may be abandoned.
extern char message[4096];

void describe(const char* format, std::va_list);

/// `what`, and below it how many threads are where.
void describe_threads(const char* what);

}  // namespace simt
