#include "cli/settings.h"

#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <set>

#include "cli/failure.h"
#include "cli/nearest.h"
#include "cli/options.h"
#include "cli/text_file.h"
#include "rheo/config.h"
#include "rheo/trainer.h"

namespace rheo::cli {

namespace {

/// Of a JSON file, in bytes.
constexpr std::uintmax_t kLimit = 1 << 20;
/// Of its nesting: copying and printing a tree recurse.
constexpr int kDepth = 32;

using Kind = Setting::Kind;

std::vector<std::string> families() {
  const auto names = family_names();
  return {names.begin(), names.end()};
}

const std::vector<Setting> kModelSettings = {
    {"--model", "model", Kind::word,
     "glow or realnvp on images; realnvp, the default there, nice, maf or iaf on vectors",
     families()},
    {"--levels", "levels", Kind::integer, "Scales; height and width are multiples of 2^levels"},
    {"--steps", "steps", Kind::integer,
     "Flow steps on each level (for training, see --updates); of realnvp 6, on vectors 4, of maf "
     "and iaf 5"},
    {"--hidden", "hidden", Kind::integer,
     "Width of each coupling network; of all but glow 256; of maf and iaf at least D - 1"},
    {"--coupling",
     "coupling",
     Kind::word,
     "affine or additive; nice is additive",
     {"affine", "additive"}},
    {"--scale",
     "scale",
     Kind::word,
     "Of affine couplings: sigmoid2 as published with Glow, bounded between e^-2 and e^2, or tanh "
     "as in RealNVP, whose default it is",
     {"sigmoid2", "bounded", "tanh"}},
    {"--permutation",
     "permutation",
     Kind::word,
     "Before each coupling: lu, a learned 1x1 convolution, or fixed: reverse, the default of all "
     "but glow, or shuffle",
     {"lu", "reverse", "shuffle"}},
    {"--prior",
     "prior",
     Kind::word,
     "Of the latents of all but glow: gaussian or logistic",
     {"gaussian", "logistic"}},
    {"--edge-bias", "edge_bias", Kind::yes, "3x3 convolutions know the border, as published"},
    {"--bits", "n_bits", Kind::integer, "Of a pixel value, 1 to 8; the lower ones are dropped"},
    {"--classes", "classes", Kind::integer, "Rows of the prior; see also --conditional"},
};

const std::vector<Setting> kTrainSettings = {
    {"--updates", "steps", Kind::integer, "Updates of the weights in all; on vectors 3000"},
    {"--batch", "batch", Kind::integer, "Images of one pass; vectors 512"},
    {"--accumulate", "accumulate", Kind::integer, "Passes before an update"},
    {"--optimizer",
     "optimizer",
     Kind::word,
     "adam, the default on vectors, adamax, or adamax_openai: as the published Glow has it",
     {"adam", "adamax", "adamax_openai"}},
    {"--learning-rate", "learning_rate", Kind::number, "After the warm-up"},
    {"--beta1", "beta1", Kind::number, "Decay of the first moment"},
    {"--beta2", "beta2", Kind::number, "Decay of the second moment"},
    {"--epsilon", "epsilon", Kind::number, "Added to the second moment"},
    {"--warmup-images", "warmup_images", Kind::integer,
     "The rate rises from 0 over so many; vectors 0"},
    {"--schedule",
     "schedule",
     Kind::word,
     "constant, or cosine, the default on vectors: down to a hundredth at the last update",
     {"constant", "cosine"}},
    {"--clip-norm", "clip_norm", Kind::number, "Largest norm of the gradient; 0: none"},
    {"--average", "average", Kind::number, "Decay of an average of the weights; 0: none"},
    {"--init-images", "init_images", Kind::integer, "For the data-dependent initialisation"},
    {"--flip", "flip", Kind::yes, "Flip images left to right at random"},
    {"--shift", "shift", Kind::integer, "Shift images at random by up to so many pixels"},
    {"--seed", "seed", Kind::integer, "Of weights, order, noise and augmentation"},
    {"--loader-threads", "loader_threads", Kind::integer, "That prepare batches; change no bit"},
};

template <class Value>
CLI::Option* add_value(CLI::App& app, const Setting& setting, Json& changes) {
  return app.add_option_function<Value>(
      setting.flag, [&changes, key = setting.key](const Value& value) { changes[key] = value; },
      setting.help);
}

CLI::Option* add_number(CLI::App& app, const Setting& setting, Json& changes) {
  return app.add_option_function<double>(
      setting.flag,
      [&changes, &setting](double value) {
        if (!std::isfinite(value)) misuse(setting.flag, "must be finite; got {}", value);
        changes[setting.key] = value;
      },
      setting.help);
}

CLI::Option* add_setting(CLI::App& app, const Setting& setting, Json& changes) {
  switch (setting.kind) {
    case Kind::integer:
      return add_value<std::int64_t>(app, setting, changes);
    case Kind::number:
      return add_number(app, setting, changes);
    case Kind::word:
      return add_value<std::string>(app, setting, changes)->check(one_of(setting.words));
    case Kind::yes:
      break;
  }
  return app.add_flag_callback(
      setting.flag, [&changes, &setting] { changes[setting.key] = true; }, setting.help);
}

std::string plain(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// nlohmann keeps the last of two equal keys without a word, and nests as deep as memory lasts.
Json parse_strictly(const std::string& path, const std::string& text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDepth)
      fail(Errc::bad_file, "{}: JSON must be nested at most {} deep", path, kDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      fail(Errc::bad_file, "{}: each key must be there once; got {} twice", path, parsed.dump());
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    fail(Errc::bad_file, "{}: must be JSON; it is broken at byte {} of {}", path, error.byte,
         text.size());
  } catch (const Json::out_of_range&) {
    fail(Errc::bad_file, "{}: must be JSON; it has a number that overflows", path);
  }
}

/// A value that breaks a rule of the library by itself is the flag's.
void check_setting(const Setting& setting, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    misuse(setting.flag, "{}", error.what());
  }
}

}  // namespace

void require_keys(const std::string& who, const Json& said, std::span<const Setting> settings,
                  std::initializer_list<const char*> more) {
  for (const auto& [key, value] : said.items()) {
    const auto is_key = [&key = key](const char* other) { return key == other; };
    const bool known = std::any_of(more.begin(), more.end(), is_key) ||
                       std::any_of(settings.begin(), settings.end(),
                                   [&](const Setting& s) { return is_key(s.key); });
    if (known) continue;
    std::vector<std::string> keys(more.begin(), more.end());
    for (const Setting& setting : settings) keys.emplace_back(setting.key);
    fail(Errc::bad_file, "{}: unknown key \"{}\"{}", who, key, suggestion(key, keys));
  }
}

std::span<const Setting> model_settings() {
  return kModelSettings;
}
std::span<const Setting> train_settings() {
  return kTrainSettings;
}

std::string flag_of(std::span<const Setting> settings, const std::string& key) {
  for (const Setting& setting : settings)
    if (key == setting.key) return setting.flag;
  return key;
}

void require_in_range(const Json& model, const Json& train) {
  Json roomy = Json::parse(ModelConfig{}.to_json());  // for any number of levels
  roomy["height"] = roomy["width"] = 4096;
  roomy["levels"] = roomy["steps"] = 1;  // with any number of the other
  for (const Setting& setting : kModelSettings)
    if (setting.kind == Kind::integer && model.contains(setting.key)) {
      Json json = roomy;
      json[setting.key] = model[setting.key];
      check_setting(setting, [&] { ModelConfig::from_json(json.dump()); });
    }
  for (const Setting& setting : kTrainSettings)
    if (train.contains(setting.key))
      check_setting(setting, [&] {
        TrainOptions::from_json(Json{{setting.key, train[setting.key]}}.dump());
      });
}

void require_in_range(const std::string& who, const Json& train) {
  try {
    TrainOptions::from_json(train.dump());
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", who, error.what());
  }
}

void require_agreement(std::span<const Setting> settings, const Json& said, const Json& recorded,
                       const std::string& free) {
  for (const auto& [key, value] : said.items()) {
    if (key == free || (recorded.contains(key) && recorded[key] == value)) continue;
    misuse(flag_of(settings, key).c_str(),
           "a resumed run keeps its settings: {} is {}, got {}; leave it out{}", key,
           recorded.value(key, Json()).dump(), value.dump(),
           key == "steps" ? ", for a cosine schedule is drawn to its end" : "");
  }
}

std::string said_by(const CLI::App& app, std::span<const Setting> settings, const std::string& key,
                    const std::string& who) {
  for (const Setting& setting : settings)
    if (key == setting.key && app.count(setting.flag) > 0) return setting.flag;
  return who;
}

void add_settings(CLI::App& app, const char* group, std::span<const Setting> settings,
                  const Json& defaults, Json& changes) {
  changes = Json::object();
  for (const Setting& setting : settings) {
    CLI::Option* option = add_setting(app, setting, changes)->group(group);
    if (setting.kind != Kind::yes && defaults.contains(setting.key))
      option->default_str(plain(defaults[setting.key]));
  }
}

Json overridden(const std::string& who, Json base, const Json& changes) {
  for (const auto& [key, value] : changes.items()) {
    if (!base.contains(key)) {
      std::vector<std::string> keys;
      for (const auto& item : base.items()) keys.push_back(item.key());
      fail(Errc::bad_file, "{}: unknown key \"{}\"{}", who, key, suggestion(key, keys));
    }
    if (value.is_structured() || value.is_null())
      fail(Errc::bad_file, "{}: {} must be one value; got {}", who, key, value.type_name());
    base[key] = value;
  }
  return base;
}

Json read_json(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    fail(Errc::bad_file, "{}: must be a file; there is none", path);
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > kLimit)
    fail(Errc::bad_file, "{}: must be at most {} bytes long; got {}", path, kLimit, size);
  Json parsed = parse_strictly(path, read_text(path));
  if (!parsed.is_object())
    fail(Errc::bad_file, "{}: must hold an object; got {}", path, parsed.type_name());
  return parsed;
}

Sections read_config(const std::string& path) {
  const std::set<std::string> of_a_run = {"rheo", "command", "compute", "data", "run", "resumed"};
  const Json all = read_json(path);
  Sections sections;
  for (const auto& [key, value] : all.items()) {
    if (of_a_run.count(key)) continue;
    if (key != "model" && key != "train")
      fail(Errc::bad_file, "{}: unknown key \"{}\"; the sections are \"model\" and \"train\"", path,
           key);
    if (!value.is_object())
      fail(Errc::bad_file, "{}: {} must be an object; got {}", path, key, value.type_name());
    (key == "model" ? sections.model : sections.train) = value;
  }
  return sections;
}

}  // namespace rheo::cli
