#include "cli/numbers.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <charconv>
#include <string>

namespace rheo::cli {

namespace {

/// Whether all of `text` is a number that `Value` holds.
template <class Value>
bool is_number(const std::string& text) {
  Value value{};
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc() && read.ptr == end;
}

/// 010 is eight to some and ten to others.
bool is_padded(const std::string& text) {
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  return text.size() > first + 1 && text[first] == '0' && text[first + 1] >= '0' &&
         text[first + 1] <= '9';
}

template <class Value>
CLI::Validator plain(const char* rule) {
  return CLI::Validator(
      [rule](const std::string& text) {
        return is_number<Value>(text) && !is_padded(text)
                   ? std::string()
                   : fmt::format("must be {}; got {}", rule, text);
      },
      "");
}

}  // namespace

void require_plain_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type == "INT")
      option->check(plain<std::int64_t>("a whole number below 2^63 in decimal digits"));
    else if (type == "UINT")
      option->check(plain<std::uint64_t>("a whole number from 0 to below 2^64 in decimal digits"));
    else if (type == "FLOAT")
      option->check(plain<double>("a number such as 3, 0.001 or 1e-3"));
  }
}

}  // namespace rheo::cli
