#pragma once

#include <stdexcept>
#include <string>

#include "rheo/export.h"

namespace rheo {

/// What went wrong, for callers that act on it; what() is for the person who reads it.
enum class Errc {
  invalid_argument,  ///< A shape, a size or a value breaks the documented rule.
  bad_file,          ///< A file is missing, unreadable, damaged, or not of the kind it should be.
  newer_file,        ///< A file of a version that only a newer rheo reads.
  unsupported,       ///< Correct, but not on this device or in this build.
  out_of_memory,     ///< The device or the host had no room.
  device,            ///< A driver or library call failed.
  io,                ///< The system failed to read or write: a full disk, a broken device.
  diverged,          ///< Numbers left the finite range: an inverse, a sample or a training run.
};

/// The one exception this library throws.
class RHEO_API Error : public std::runtime_error {
 public:
  Error(Errc code, const std::string& message) : std::runtime_error(message), code_(code) {}

  Errc code() const noexcept { return code_; }

 private:
  Errc code_;
};

}  // namespace rheo
