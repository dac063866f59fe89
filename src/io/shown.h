#pragma once

#include <string>
#include <string_view>

namespace rheo {

/// Text out of a file, made fit for a one-line message: whatever is not printable ASCII becomes
/// '?', so that a hostile name cannot reach a terminal, and the text is cut.
inline std::string shown(std::string_view text, std::size_t longest = 80) {
  std::string safe(text.substr(0, longest));
  for (char& c : safe) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > longest ? safe + "..." : safe;
}

}  // namespace rheo
