#pragma once

#include <span>
#include <string>

namespace rheo::cli {

/// The one of `words` that `word` may have been meant to be, a few slips of the keyboard away or
/// its beginning or continuation; empty where none is.
std::string nearest(const std::string& word, std::span<const std::string> words);

/// "; did you mean --noise?", or nothing.
std::string suggestion(const std::string& word, std::span<const std::string> words);

}  // namespace rheo::cli
