#include "rheo/config.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "src/check.h"
#include "src/io/json.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

constexpr const char* kWho = "model config";
constexpr int kImageSteps = 6;    // of RealNVP: three checkerboard masks, three of channels
constexpr int kMostDims = 1024;   // a permutation is a matrix
constexpr int kMostSteps = 2048;  // on all levels, so that the header of every checkpoint is read

/// Reads the keys of one JSON object; what is left unread at the end is unknown.
class Reader {
 public:
  explicit Reader(const nlohmann::json& object) : object_(object) {
    if (!object.is_object()) fail(Errc::bad_file, kWho, ": must be a JSON object");
  }

  void read(const char* key, int& value, bool required) {
    const nlohmann::json* found = find(key, required);
    if (found == nullptr) return;
    if (!found->is_number_integer())
      fail(Errc::bad_file, kWho, ": ", key, " must be a whole number; got ", shown(found->dump()));
    if (!is_within(*found, std::numeric_limits<int>::max()))
      fail(Errc::bad_file, kWho, ": ", key, " must be a whole number below 2^31 in size; got ",
           shown(found->dump()));
    value = found->get<int>();
  }

  void read(const char* key, bool& value) {
    const nlohmann::json* found = find(key, false);
    if (found == nullptr) return;
    if (!found->is_boolean())
      fail(Errc::bad_file, kWho, ": ", key, " must be true or false; got ", shown(found->dump()));
    value = found->get<bool>();
  }

  /// One of a list of words, in the order of the enumeration.
  template <class E>
  void read(const char* key, E& value, std::span<const char* const> words, bool required) {
    const nlohmann::json* found = find(key, required);
    if (found == nullptr) return;
    // As a string: the library compares a value with a word by a copy, and cannot fail in that.
    const auto* text = found->get_ptr<const std::string*>();
    std::string all;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (text && *text == words[i]) return void(value = static_cast<E>(i));
      all += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + std::string(words[i]);
    }
    fail(Errc::bad_file, kWho, ": ", key, " must be ", all, "; got ", shown(found->dump()));
  }

  bool has(const char* key) const { return object_.contains(key); }

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

/// In the order of their enumerations.
constexpr const char* kFamilies[] = {"glow", "realnvp", "nice", "maf", "iaf"};
constexpr const char* kCouplings[] = {"affine", "additive"};
constexpr const char* kScales[] = {"sigmoid2", "bounded", "tanh"};
constexpr const char* kPermutations[] = {"lu", "reverse", "shuffle"};
constexpr const char* kPriors[] = {"gaussian", "logistic"};

template <class E, std::size_t kCount>
const char* word(const char* const (&words)[kCount], E value) {
  const auto index = static_cast<std::size_t>(value);
  require(index < kCount, kWho, ": ", words[0], "..", words[kCount - 1],
          " are all that there are; got number ", static_cast<int>(value));
  return words[index];
}

/// Whether the scale of its couplings is to be chosen.
bool has_scale(Family family) {
  return family == Family::glow || family == Family::realnvp;
}

bool takes_images(Family family) {
  return family == Family::glow || family == Family::realnvp;
}

/// What a family is unless said otherwise.
ModelConfig defaults_of(Family family) {
  ModelConfig c;
  c.family = family;
  if (family == Family::glow) return c;
  c.steps = c.is_autoregressive() ? 5 : 4;
  c.hidden = 256;
  c.coupling = family == Family::nice ? Coupling::additive : Coupling::affine;
  c.scale = Scale::tanh;
  c.permutation = Permutation::reverse;
  return c;
}

void validate_vector(const ModelConfig& c) {
  const char* family = word(kFamilies, c.family);
  require(c.family != Family::glow, kWho, ": glow takes images, levels >= 1; got levels 0");
  require(c.height == 1 && c.width == 1, kWho, ": vectors are 1x1 images of dims channels; got ",
          c.height, "x", c.width);
  const int least = c.is_autoregressive() ? 1 : 2;
  require(c.channels >= least && c.channels <= kMostDims, kWho, ": dims of ", family, " must be ",
          least, "..", kMostDims, "; got ", c.channels);
  require(!c.edge_bias, kWho, ": edge_bias is for images");
}

void validate_image(const ModelConfig& c) {
  require(takes_images(c.family), kWho, ": ", word(kFamilies, c.family),
          " takes vectors (dims, levels 0); got levels ", c.levels);
  require_range("height", c.height, 2, 4096);
  require_range("width", c.width, 2, 4096);
  require_range("channels", c.channels, 1, 4);
  require_range("levels", c.levels, 1, 8);
  require_multiple("height", c.height, c.levels);
  require_multiple("width", c.width, c.levels);
}

/// Hidden units of fewer degrees would leave the last numbers without influence on any other.
int least_hidden(const ModelConfig& c) {
  return c.is_autoregressive() && c.channels > 1 ? c.channels - 1 : 1;
}

/// The family's defaults at the size that `reader` has.
ModelConfig sized(Family family, Reader& reader) {
  const bool glow = family == Family::glow, dims_given = reader.has("dims");
  if (glow && dims_given)
    fail(Errc::bad_file, kWho,
         ": glow takes images (height, width, channels, levels), not vectors of dims numbers");
  if (!takes_images(family) || dims_given) {
    int dims = 0;
    reader.read("dims", dims, true);
    return ModelConfig::of_vectors(family, dims);
  }
  if (!glow && !reader.has("height"))
    fail(Errc::bad_file, kWho, ": key dims (of vectors) or height (of images) is missing");
  ModelConfig c = defaults_of(family);
  if (!glow) c.steps = kImageSteps;
  reader.read("height", c.height, true);
  reader.read("width", c.width, true);
  reader.read("channels", c.channels, true);
  reader.read("levels", c.levels, true);
  reader.read("n_bits", c.n_bits, false);
  reader.read("edge_bias", c.edge_bias);
  return c;
}

}  // namespace

std::vector<std::string_view> family_names() {
  return {std::begin(kFamilies), std::end(kFamilies)};
}

std::string_view family_name(Family family) {
  return word(kFamilies, family);
}

ModelConfig ModelConfig::of_vectors(Family family, int dims) {
  ModelConfig c = defaults_of(family);
  c.height = c.width = 1, c.channels = dims, c.levels = 0;
  c.hidden = std::max(c.hidden, least_hidden(c));
  return c;
}

void ModelConfig::validate() const {
  word(kFamilies, family), word(kCouplings, coupling), word(kScales, scale);
  word(kPermutations, permutation), word(kPriors, prior);
  if (is_vector())
    validate_vector(*this);
  else
    validate_image(*this);
  require_range("steps", steps, 1, 1024);
  require(steps * std::max(1, levels) <= kMostSteps, kWho, ": steps on all levels must be at most ",
          kMostSteps, " together; got ", steps, " on each of ", levels);
  require_range("hidden", hidden, 1, 8192);
  require_range("classes", classes, 0, 100000);
  require_range("n_bits", n_bits, 1, 8);
  const char* name = word(kFamilies, family);
  require(classes == 0 || family == Family::glow, kWho, ": classes are glow's; ", name,
          " has none; got ", classes);
  require(prior == Prior::gaussian || family != Family::glow, kWho,
          ": prior of glow must be gaussian; got logistic");
  require(family != Family::nice || coupling == Coupling::additive, kWho,
          ": coupling of nice must be additive; got affine");
  require(!is_autoregressive() || coupling == Coupling::affine, kWho, ": coupling of ", name,
          " must be affine; got additive");
  require(has_scale(family) || scale == Scale::tanh, kWho, ": scale is for affine couplings; ",
          name, " has none and leaves it tanh; got ", word(kScales, scale));
  require(hidden >= least_hidden(*this), kWho, ": hidden of ", name,
          " must be at least dims - 1 = ", least_hidden(*this), "; got ", hidden);
}

std::string ModelConfig::to_json() const {
  return guarded(kWho, [&] {
    nlohmann::ordered_json json;
    const Emptied emptied(json);
    json["model"] = word(kFamilies, family);
    if (is_vector()) {
      json["dims"] = channels;
    } else {
      json["height"] = height, json["width"] = width, json["channels"] = channels;
      json["levels"] = levels;
    }
    json["steps"] = steps, json["hidden"] = hidden;
    if (!is_autoregressive()) json["coupling"] = word(kCouplings, coupling);
    if (has_scale(family)) json["scale"] = word(kScales, scale);
    json["permutation"] = word(kPermutations, permutation);
    json["classes"] = classes;
    if (!is_vector()) json["n_bits"] = n_bits, json["edge_bias"] = edge_bias;
    if (family != Family::glow) json["prior"] = word(kPriors, prior);
    return json.dump();
  });
}

ModelConfig ModelConfig::from_json(std::string_view text) {
  return guarded(kWho, [&] {
    nlohmann::json json = parse_json(text, kWho);
    const Emptied emptied(json);
    Reader reader(json);
    Family family = Family::glow;
    reader.read("model", family, kFamilies, true);
    const bool glow = family == Family::glow;
    ModelConfig c = sized(family, reader);
    reader.read("steps", c.steps, glow);
    reader.read("hidden", c.hidden, glow);
    reader.read("classes", c.classes, glow);
    if (!c.is_autoregressive()) reader.read("coupling", c.coupling, kCouplings, glow);
    if (has_scale(family))
      reader.read("scale", c.scale, kScales, false);
    else if (reader.has("scale"))
      fail(Errc::bad_file, kWho, ": scale is for affine couplings; ", family_name(family),
           " has none");
    reader.read("permutation", c.permutation, kPermutations, false);
    if (!glow) reader.read("prior", c.prior, kPriors, false);
    reader.refuse_others();
    try {
      c.validate();
    } catch (const Error& e) {
      fail(Errc::bad_file, e.what());
    }
    return c;
  });
}

}  // namespace rheo
