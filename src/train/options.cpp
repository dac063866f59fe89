#include <limits>
#include <nlohmann/json.hpp>

#include "rheo/trainer.h"
#include "src/check.h"
#include "src/io/json.h"
#include "src/io/shown.h"

namespace rheo {

// Not in the unnamed namespace, where the library would not find them.
NLOHMANN_JSON_SERIALIZE_ENUM(Optimizer, {{Optimizer::adam, "adam"},
                                         {Optimizer::adamax, "adamax"},
                                         {Optimizer::adamax_openai, "adamax_openai"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Schedule,
                             {{Schedule::constant, "constant"}, {Schedule::cosine, "cosine"}})

namespace {

constexpr const char* kWho = "train options";
constexpr std::int64_t kMost = std::int64_t{1} << 40;

/// Calls f(name, value) for every option, in the order they are written.
template <class Options, class F>
void for_each_option(Options& o, const F& f) {
  f("steps", o.steps), f("batch", o.batch), f("accumulate", o.accumulate);
  f("optimizer", o.optimizer), f("learning_rate", o.learning_rate);
  f("beta1", o.beta1), f("beta2", o.beta2), f("epsilon", o.epsilon);
  f("warmup_images", o.warmup_images), f("schedule", o.schedule);
  f("clip_norm", o.clip_norm), f("average", o.average), f("init_images", o.init_images);
  f("flip", o.flip), f("shift", o.shift), f("seed", o.seed);
  f("loader_threads", o.loader_threads);
}

void require_range(const char* what, std::int64_t value, std::int64_t least, std::int64_t most) {
  require(value >= least && value <= most, kWho, ": ", what, " must be ", least, "..", most,
          "; got ", value);
}

void require_between(const char* what, double value, double least, double below) {
  require(value >= least && value < below, kWho, ": ", what, " must be at least ", least,
          " and below ", below, "; got ", value);
}

[[noreturn]] void refuse(const char* key, const char* rule, const nlohmann::json& value) {
  fail(Errc::bad_file, kWho, ": ", key, " must be ", rule, "; got ", shown(value.dump()));
}

void read(const char* key, const nlohmann::json& json, bool& value) {
  if (!json.is_boolean()) refuse(key, "true or false", json);
  value = json.get<bool>();
}

void read(const char* key, const nlohmann::json& json, double& value) {
  if (!json.is_number()) refuse(key, "a number", json);
  value = json.get<double>();
}

void read(const char* key, const nlohmann::json& json, std::uint64_t& value) {
  if (!json.is_number_unsigned()) refuse(key, "a whole number from 0 on", json);
  value = json.get<std::uint64_t>();
}

template <class Value>
void read_whole(const char* key, const nlohmann::json& json, Value most, const char* rule,
                Value& value) {
  if (!json.is_number_integer()) refuse(key, "a whole number", json);
  if (!is_within(json, most)) refuse(key, rule, json);
  value = json.get<Value>();
}

void read(const char* key, const nlohmann::json& json, std::int64_t& value) {
  read_whole(key, json, kMost, "a whole number up to 2^40 in size", value);
}

void read(const char* key, const nlohmann::json& json, int& value) {
  read_whole(key, json, std::numeric_limits<int>::max(), "a whole number below 2^31 in size",
             value);
}

template <class Enum>
void read(const char* key, const nlohmann::json& json, Enum& value) {
  const auto read = json.get<Enum>();
  if (nlohmann::json(read) != json) refuse(key, "one of the words that --help lists", json);
  value = read;
}

}  // namespace

void TrainOptions::validate() const {
  require_range("steps", steps, 1, kMost);
  require_range("batch", batch, 1, kMaxBatch);
  require_range("accumulate", accumulate, 1, kMaxBatch);
  require_between("learning_rate", learning_rate, 0, 1e6);
  require_between("beta1", beta1, 0, 1);
  require_between("beta2", beta2, 0, 1);
  require_between("epsilon", epsilon, 1e-30, 1e6);  // float32 must hold it
  require_range("warmup_images", warmup_images, 0, kMost);
  require_between("clip_norm", clip_norm, 0, 1e30);
  require_between("average", average, 0, 1);
  require_range("init_images", init_images, 1, 1 << 20);
  require_range("shift", shift, 0, 4096);
  require_range("loader_threads", loader_threads, 1, 64);
}

std::string TrainOptions::to_json() const {
  return guarded(kWho, [&] {
    nlohmann::ordered_json json;
    const Emptied emptied(json);
    for_each_option(*this,
                    [&](const char* key, const auto& value) { json[key] = nlohmann::json(value); });
    return json.dump();
  });
}

TrainOptions TrainOptions::from_json(const std::string& text) {
  return guarded(kWho, [&] {
    nlohmann::json json = parse_json(text, kWho);
    const Emptied emptied(json);
    if (!json.is_object()) fail(Errc::bad_file, kWho, ": must be a JSON object");
    TrainOptions options;
    for_each_option(options, [&](const char* key, auto& value) {
      if (!json.contains(key)) return;
      read(key, json[key], value);
      json.erase(key);
    });
    if (!json.empty())
      fail(Errc::bad_file, kWho, ": unknown key \"", shown(json.begin().key()), "\"");
    try {
      options.validate();
    } catch (const Error& e) {
      fail(Errc::bad_file, e.what());
    }
    return options;
  });
}

}  // namespace rheo
