#pragma once

// What Backend has besides operations, on a CUDA device.

#include <cstddef>
#include <string>

#include "kernels/backend.h"

namespace rheo::cuda {

Stream open(bool linear);
void close(Stream stream);
void wait(Stream stream, Stream other);

Recording* record(Stream stream, void (*work)(void* what), void* what);
void replay(Recording* recording, Stream stream);
void forget(Recording* recording);

extern const Backend backend;

}  // namespace rheo::cuda
