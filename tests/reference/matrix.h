#pragma once

#include "tests/reference/image.h"

namespace rheo::reference {

/// Of square row-major matrices.
Values product(const Values& a, const Values& b, int n);

/// By elimination with partial pivoting; `a` must not be singular.
Values inverse(Values a, int n);

}  // namespace rheo::reference
