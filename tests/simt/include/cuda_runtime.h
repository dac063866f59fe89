#pragma once

// Stands in for CUDA's header of this name, so that a .cu compiles with the host compiler alone and
// runs on the CPU, every CUDA thread on a stack of its own. Put this folder first on the include
// path (CMake: link simt_headers and simt_runtime), compile the .cu as C++20 with -x c++, and add
// -fsanitize=address,undefined or -fsanitize=thread as you like: the scheduler, which is compiled
// without them, finds out which it serves.
//
// Kernels declare shared memory with RHEO_SHARED(T, name, [64][12]) and RHEO_DYNAMIC_SHARED(T,
// name) and start by cudaLaunchKernelEx. What is launched or copied waits in its stream until
// somebody waits for it, and then just what that wait needs has happened: a missing wait shows as a
// wrong value. A kernel that breaks a rule throws simt::error from the call that made it run.
// simt/control.h has what a test may choose: the order of threads, eager streams, little memory.
//
// Threads and blocks take turns, and only where they wait: one that spins until another has written
// hangs. One thing runs at a time whichever OS thread asks. Nobody checks __launch_bounds__. Under
// ThreadSanitizer only what CUDA orders is ordered: it reports races within and between blocks; use
// at most 256 threads a block there. Under AddressSanitizer the host may not touch device memory.

#include "simt/control.h"
#include "simt/intrinsics.h"
#include "simt/language.h"
#include "simt/launch.h"
#include "simt/runtime_api.h"
#include "simt/vectors.h"
#include "simt/warp.h"
