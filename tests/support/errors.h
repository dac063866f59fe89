#pragma once

#include <string>

#include "rheo/error.h"

namespace rheo::test {

/// What f() throws an Error with.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace rheo::test
