#pragma once

#include <cstdint>
#include <string>

#include "rheo/dataset.h"
#include "rheo/tensor.h"

namespace rheo {

/// Height and width, in pixels.
struct Size {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool operator==(const Size&) const = default;
};

/// "32x48", height first.
std::string to_string(Size size);

/// That images of one size can be brought to another so. @throws Error bad_file as `fitted`.
void require_fit(Size from, Size to, Fit fit, const std::string& who);

/// Images [N, H, W, C] brought to `size`; see Fit for how. `who` begins the messages.
/// @throws Error bad_file where refused, or too small to crop, or too large to pad.
Pixels fitted(Pixels images, Size size, Fit fit, const std::string& who);

}  // namespace rheo
