#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace rheo {

using Shape = std::vector<std::int64_t>;

/// A dense row-major array in host memory: `data` has as many values as the product of `shape`.
template <class T>
struct Array {
  Shape shape;
  std::vector<T> data;
};

using Tensor = Array<float>;  ///< Images as the model sees them [N, H, W, C], latents [N, D].
using Pixels = Array<std::uint8_t>;  ///< Images as files hold them [N, H, W, C], 0..255.
using Labels =
    std::vector<int>;  ///< A class for each image, from zero; empty where there are none.

/// Called now and then by long work, in the calling thread: items done, items in all.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

}  // namespace rheo
