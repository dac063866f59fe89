#pragma once

#include <initializer_list>
#include <string>

#include "rheo/tensor.h"

namespace rheo::cli {

/// Descriptors 0 to 2 that came closed are opened so that no file can land on them, yet stdout and
/// stderr still fail when written.
void guard_standard_descriptors();

/// Appends to stdout, for results only. Errors show in flush_results.
void print(const std::string& text);

/// A JSON document and the end of its line. A path in it may have bytes that are no UTF-8: these
/// are replaced.
template <class Json>
std::string text_of_json(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// @throws Error io where what was printed did not get out: a full disk, a closed pipe.
void flush_results();

/// "png" or "npy": the ending of `path`, which must be one of `endings` and lie in a folder that
/// can be written, so that long work is not done for nothing.
/// `option` is the one to blame.
std::string require_output(const std::string& path, std::initializer_list<const char*> endings,
                           const char* option = "--output");

/// The ending of an output that holds vectors: a PNG of them is refused.
void require_npy(const std::string& path, const std::string& ending);

/// Images [N, H, W, C] as one PNG, `columns` to a row; 0: about a square.
void write_grid(const std::string& path, const Pixels& images, std::int64_t columns);

}  // namespace rheo::cli
