#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rheo {

/// Parses JSON more strictly than the library does by itself: a key twice in one object, nesting
/// deeper than 32 and more values than fit into 48 MiB are refused. `who` begins the message.
/// @throws Error bad_file.
nlohmann::json parse_json(std::string_view text, const std::string& who);

/// Whether a whole number is at most `most` in size.
bool is_within(const nlohmann::json& number, std::int64_t most);

/// Takes a document apart before it is destroyed: the library's destructor asks for memory for what
/// an array or object holds, and ends the process where there is none. Lists of pairs in braces
/// have such destructors too: members are set one by one.
template <class Json>
class Emptied {
 public:
  explicit Emptied(Json& json) : json_(json) {}
  ~Emptied() { empty(json_); }
  Emptied(const Emptied&) = delete;
  Emptied& operator=(const Emptied&) = delete;

 private:
  static void empty(Json& json) {
    if (auto* object = json.template get_ptr<typename Json::object_t*>()) {
      for (auto& [key, value] : *object) empty(value);
      object->clear();
    } else if (auto* array = json.template get_ptr<typename Json::array_t*>()) {
      for (Json& value : *array) empty(value);
      array->clear();
    } else if (json.is_structured()) {
      std::construct_at(&json);  // there was no memory for it: null where the destructor looks
    }
  }

  Json& json_;
};

}  // namespace rheo
