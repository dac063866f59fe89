#include "src/io/json.h"

#include <cstdint>
#include <set>
#include <vector>

#include "src/check.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

using Json = nlohmann::json;

/// Of a document's nesting; copying and printing a tree recurse, and ours need four.
constexpr int kDepth = 32;
/// Of what a document is read into: three bytes of text can ask for a hundred. The largest model's
/// header stays below.
constexpr std::size_t kMostBytes = 48 << 20;
// At most, with the list around it grown to twice its size; a key is kept a second time in Rules.
constexpr std::size_t kKeyBytes = 176;
constexpr std::size_t kObjectBytes = 64;
constexpr std::size_t kArrayBytes = 64;
constexpr std::size_t kValueBytes = 48;

/// Watches the parser and stops it at what JSON allows and we do not.
class Rules {
 public:
  explicit Rules(const std::string& who) : who_(who) {}

  void check(int depth, Json::parse_event_t event, const Json& parsed) {
    bytes_ += cost(event, parsed);
    require_file(bytes_ <= kMostBytes, who_, ": JSON must fit into ", kMostBytes >> 20,
                 " MiB when it is read; it has too many values");
    require_file(depth <= kDepth, who_, ": JSON must be nested at most ", kDepth, " deep");
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event != Json::parse_event_t::key) return;
    const auto& key = parsed.get_ref<const std::string&>();
    require_file(keys_.back().insert(key).second, who_, ": JSON must have each key once; got \"",
                 shown(key), "\" twice");
  }

 private:
  static std::size_t cost(Json::parse_event_t event, const Json& parsed) {
    const auto* text = parsed.get_ptr<const std::string*>();
    switch (event) {
      case Json::parse_event_t::key:
        return kKeyBytes + 2 * text->size();
      case Json::parse_event_t::object_start:
        return kObjectBytes;
      case Json::parse_event_t::array_start:
        return kArrayBytes;
      case Json::parse_event_t::value:
        return kValueBytes + (text ? text->size() : 0);
      default:
        return 0;
    }
  }

  const std::string& who_;
  std::vector<std::set<std::string>> keys_;
  std::size_t bytes_ = 0;
};

/// Without the library's "[json.exception...] parse error at " and the text it had read so far.
std::string reason(const std::string& what) {
  const std::size_t start = what.find("] ");
  std::string text = start == std::string::npos ? what : what.substr(start + 2);
  const std::string prefix = "parse error ";
  if (text.starts_with(prefix)) text = text.substr(prefix.size());
  const std::size_t read = text.find("; last read:");
  return shown(read == std::string::npos ? text : text.substr(0, read), 200);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& who) {
  Rules rules(who);
  try {
    return Json::parse(text.begin(), text.end(),
                       [&](int depth, Json::parse_event_t event, Json& parsed) {
                         rules.check(depth, event, parsed);
                         return true;
                       });
  } catch (const Json::exception& error) {
    fail(Errc::bad_file, who, ": must be valid JSON; ", reason(error.what()));
  }
}

bool is_within(const Json& number, std::int64_t most) {
  // By its own type: as a signed number one from 2^63 on would be below 0.
  return number.is_number_unsigned()
             ? number.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
             : number >= -most;
}

}  // namespace rheo
