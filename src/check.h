#pragma once

#include <sstream>
#include <string>

#include "rheo/error.h"
#include "rheo/tensor.h"

namespace rheo {

/// Throws Error with the parts put together: who, which argument or file, the rule, what came.
template <class... Parts>
[[noreturn]] void fail(Errc code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

/// Throws invalid_argument unless `holds`.
template <class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) fail(Errc::invalid_argument, parts...);
}

/// Throws bad_file unless `holds`; the first part is the file's path.
template <class... Parts>
void require_file(bool holds, const Parts&... parts) {
  if (!holds) fail(Errc::bad_file, parts...);
}

/// "[8, 16, 16, 6]"
inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace rheo
