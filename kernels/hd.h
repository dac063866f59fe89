#pragma once

/// A scalar formula, compiled once for the host and once for the device. Always inlined: the CPU
/// backend compiles the same formula for several instruction sets, and a shared out-of-line copy
/// would be that of whichever the linker met first.
#ifdef __CUDACC__
#define RHEO_HD __host__ __device__ __forceinline__
#else
#define RHEO_HD inline __attribute__((always_inline))
#endif
