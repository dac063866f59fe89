#pragma once

struct CUstream_st;

namespace rheo {

/// A CUDA stream, or null on the CPU, where every call is done when it returns.
using Stream = CUstream_st*;

}  // namespace rheo
