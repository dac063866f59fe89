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
/// A value takes 16 bytes and more where two bytes of text can ask for it.
constexpr std::int64_t kValues = 1'000'000;

/// Watches the parser and stops it at what JSON allows and we do not.
class Rules {
 public:
  explicit Rules(const std::string& who) : who_(who) {}

  void check(int depth, Json::parse_event_t event, const Json& parsed) {
    require_file(++values_ <= 2 * kValues, who_, ": JSON must have at most ", kValues, " values");
    require_file(depth <= kDepth, who_, ": JSON must be nested at most ", kDepth, " deep");
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event != Json::parse_event_t::key) return;
    const auto& key = parsed.get_ref<const std::string&>();
    require_file(keys_.back().insert(key).second, who_, ": JSON must have each key once; got \"",
                 shown(key), "\" twice");
  }

 private:
  const std::string& who_;
  std::vector<std::set<std::string>> keys_;
  std::int64_t values_ = 0;  // keys, and both ends of arrays and objects, count too
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

}  // namespace rheo
