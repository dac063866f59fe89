#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rheo {

/// Parses JSON more strictly than the library does by itself: a key twice in one object, nesting
/// deeper than 32 and more than a million values are refused. `who` begins the message.
/// @throws Error bad_file.
nlohmann::json parse_json(std::string_view text, const std::string& who);

}  // namespace rheo
