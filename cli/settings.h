#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace rheo::cli {

using Json = nlohmann::ordered_json;

/// A flag of `train` that sets one key of a section of the configuration, "model" or "train".
struct Setting {
  enum class Kind { integer, number, word, yes };

  const char* flag;
  const char* key;
  Kind kind;
  const char* help;
  std::vector<std::string> words = {};  ///< What a word may be.
};

std::span<const Setting> model_settings();
std::span<const Setting> train_settings();

/// Adds the flags; those given land in `changes` under their keys.
void add_settings(CLI::App& app, const char* group, std::span<const Setting> settings,
                  const Json& defaults, Json& changes);

/// The flag that sets `key`, "--updates" of "steps"; the key itself where none does.
std::string flag_of(std::span<const Setting> settings, const std::string& key);

/// Throws CLI::ValidationError, naming the flag, for a value that is out of range whatever the data
/// and the other settings are. What is told is what the flags have set.
void require_in_range(const Json& model, const Json& train);

/// Throws Error bad_file, beginning with `who`, for options that no run can have.
void require_in_range(const std::string& who, const Json& train);

/// Throws CLI::ValidationError, naming the flag, where a resumed run is told other settings than it
/// has; `free` may differ.
void require_agreement(std::span<const Setting> settings, const Json& said, const Json& recorded,
                       const std::string& free);

/// The flag that sets `key` if it was given, else `who`.
std::string said_by(const CLI::App& app, std::span<const Setting> settings, const std::string& key,
                    const std::string& who);

/// Throws Error bad_file for a key that is neither one of the settings' nor one of `more`.
void require_keys(const std::string& who, const Json& said, std::span<const Setting> settings,
                  std::initializer_list<const char*> more);

/// `base` with the values of `changes`. @throws Error bad_file for a key that base lacks, or an
/// object in place of a value; `who` begins the message.
Json overridden(const std::string& who, Json base, const Json& changes);

/// A JSON object from a file of at most 1 MiB, nested at most 32 deep; a key twice is an error.
Json read_json(const std::string& path);

struct Sections {
  Json model = Json::object();
  Json train = Json::object();
};

/// A configuration file, {"model": {...}, "train": {...}}, either of which may be left out. The
/// other keys of a run's config.json are passed over, so that a run can be repeated from it.
Sections read_config(const std::string& path);

}  // namespace rheo::cli
