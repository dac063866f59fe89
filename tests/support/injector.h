#pragma once

// Numbers that are not finite, put into training from below: a backend whose operations are those
// of another, some with a fault added. Nothing of it is in the product.

#include <cstdint>

#include "kernels/backend.h"

namespace rheo::test {

enum class Place { none, input, loss, gradient, weight };

/// From update `first` on, counted from 0 since it was injected, in `count` updates: one value of
/// the input or gradient, or the loss of one image. Of the parameters one, after update `first`
/// alone: it stays.
struct Fault {
  Place place = Place::none;
  float value = 0;
  std::int64_t first = 0, count = 1;
};

/// `real`, whose memory the host can reach, with what `inject` says. One of them at a time.
const Backend& faulty(const Backend& real);
void inject(const Fault& fault);

}  // namespace rheo::test
