#include "rheo/config.h"

#include <nlohmann/json.hpp>

#include "src/check.h"
#include "src/io/json.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

constexpr const char* kWho = "model config";

/// Reads the keys of one JSON object; what is left unread at the end is unknown.
class Reader {
 public:
  explicit Reader(const nlohmann::json& object) : object_(object) {
    if (!object.is_object()) fail(Errc::bad_file, kWho, ": must be a JSON object");
  }

  void read(const char* key, int& value, bool required) {
    const nlohmann::json* found = find(key, required);
    if (found == nullptr) return;
    if (!found->is_number_integer() || *found < -1000000 || *found > 1000000)
      fail(Errc::bad_file, kWho, ": ", key, " must be a whole number; got ", shown(found->dump()));
    value = found->get<int>();
  }

  void read(const char* key, bool& value) {
    const nlohmann::json* found = find(key, false);
    if (found == nullptr) return;
    if (!found->is_boolean())
      fail(Errc::bad_file, kWho, ": ", key, " must be true or false; got ", shown(found->dump()));
    value = found->get<bool>();
  }

  /// One of two words; returns true for the second.
  bool is_second(const char* key, const char* first, const char* second, bool required) {
    const nlohmann::json* found = find(key, required);
    if (found == nullptr || *found == first) return false;
    if (*found != second)
      fail(Errc::bad_file, kWho, ": ", key, " must be ", first, " or ", second, "; got ",
           shown(found->dump()));
    return true;
  }

  void only(const char* key, const char* word, bool required) {
    const nlohmann::json* found = find(key, required);
    if (found && *found != word)
      fail(Errc::bad_file, kWho, ": ", key, " must be ", word, "; got ", shown(found->dump()));
  }

  void refuse_others() const {
    for (const auto& item : object_.items())
      if (!known_.contains(item.key()))
        fail(Errc::bad_file, kWho, ": unknown key ", shown(nlohmann::json(item.key()).dump()));
  }

 private:
  const nlohmann::json* find(const char* key, bool required) {
    known_[key] = true;
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) fail(Errc::bad_file, kWho, ": key ", key, " is missing");
    return nullptr;
  }

  const nlohmann::json& object_;
  std::map<std::string, bool> known_;
};

void require_range(const char* what, int value, int least, int most) {
  require(value >= least && value <= most, kWho, ": ", what, " must be ", least, "..", most,
          "; got ", value);
}

void require_multiple(const char* what, int value, int levels) {
  require(value % (1 << levels) == 0, kWho, ": ", what,
          " must be a multiple of 2^levels = ", 1 << levels, "; got ", value);
}

}  // namespace

void ModelConfig::validate() const {
  require_range("height", height, 2, 4096);
  require_range("width", width, 2, 4096);
  require_range("channels", channels, 1, 4);
  require_range("levels", levels, 1, 8);
  require_range("steps", steps, 1, 1024);
  require_range("hidden", hidden, 1, 8192);
  require_range("classes", classes, 0, 100000);
  require_range("n_bits", n_bits, 1, 8);
  require_multiple("height", height, levels);
  require_multiple("width", width, levels);
}

std::string ModelConfig::to_json() const {
  const nlohmann::ordered_json json = {
      {"model", "glow"},        {"height", height},
      {"width", width},         {"channels", channels},
      {"levels", levels},       {"steps", steps},
      {"hidden", hidden},       {"coupling", coupling == Coupling::affine ? "affine" : "additive"},
      {"classes", classes},     {"n_bits", n_bits},
      {"edge_bias", edge_bias}, {"scale", scale == Scale::sigmoid2 ? "sigmoid2" : "bounded"},
      {"permutation", "lu"}};
  return json.dump();
}

ModelConfig ModelConfig::from_json(std::string_view text) {
  const nlohmann::json json = parse_json(text, kWho);
  Reader reader(json);
  ModelConfig c;
  reader.only("model", "glow", true);
  reader.read("height", c.height, true);
  reader.read("width", c.width, true);
  reader.read("channels", c.channels, true);
  reader.read("levels", c.levels, true);
  reader.read("steps", c.steps, true);
  reader.read("hidden", c.hidden, true);
  reader.read("classes", c.classes, true);
  if (reader.is_second("coupling", "affine", "additive", true)) c.coupling = Coupling::additive;
  reader.read("n_bits", c.n_bits, false);
  reader.read("edge_bias", c.edge_bias);
  if (reader.is_second("scale", "sigmoid2", "bounded", false)) c.scale = Scale::bounded;
  reader.only("permutation", "lu", false);
  reader.refuse_others();
  try {
    c.validate();
  } catch (const Error& e) {
    fail(Errc::bad_file, e.what());
  }
  return c;
}

}  // namespace rheo
