#pragma once

#include <cstdint>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

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

/// "1 image", "5 images".
inline std::string count_of(std::int64_t count, const std::string& item) {
  return std::to_string(count) + " " + item + (count == 1 ? "" : "s");
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

/// f(), with what the standard library throws made an Error: every public function that allocates,
/// starts threads or touches files runs inside one.
template <class F>
decltype(auto) guarded(const char* who, const F& f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    fail(Errc::out_of_memory, who, ": not enough memory; use a smaller batch, model or data set");
  } catch (const std::length_error&) {
    fail(Errc::out_of_memory, who, ": more values than memory can hold");
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::resource_unavailable_try_again)  // of a thread that is to begin
      fail(Errc::out_of_memory, who, ": no memory for another thread, or too many of them");
    fail(Errc::io, who, ": ", e.what());
  }
}

/// Values of an array of this shape. @throws Error invalid_argument for an extent below 0 or a
/// product that no memory holds.
inline std::int64_t count_values(const char* who, const Shape& shape) {
  constexpr std::int64_t kMost = std::int64_t{1} << 46;
  std::int64_t values = 1;
  for (std::int64_t extent : shape) {
    require(extent >= 0, who, ": a shape has no extent below 0; got ", extent);
    require(extent == 0 || values <= kMost / extent, who, ": a shape may have 2^46 values at most");
    values *= extent;
  }
  return values;
}

/// "[8, 16, 16, 6]"
inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace rheo
