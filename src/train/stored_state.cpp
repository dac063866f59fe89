#include "src/train/stored_state.h"

#include <set>

#include "rheo/checkpoint.h"
#include "src/check.h"
#include "src/io/shown.h"
#include "src/model/checkpoint.h"
#include "src/model/layout.h"

namespace rheo {
namespace {

/// Of a state that names the model file that it was saved with, as each does that has a hash.
constexpr const char* kModelHash = "model";

/// Each halves the learning rate: long before, no weight moves any more.
constexpr std::int64_t kMostRollbacks = 1000;

std::int64_t number(const StoredState& state, const char* key) {
  const std::string& digits = state.text(key);
  const bool fits = !digits.empty() && digits.size() <= 18 &&
                    digits.find_first_not_of("0123456789") == std::string::npos;
  require_file(fits, state.path, ": metadata ", key, " must be a whole number; got ",
               shown(digits));
  return std::stoll(digits);
}

TrainOptions options_of(const StoredState& state) {
  const std::string& text = state.text("train");
  try {
    return TrainOptions::from_json(text);
  } catch (const Error& e) {
    fail(e.code(), state.path, ": ", e.what());
  }
}

void check_tensors(const StoredState& state) {
  const std::int64_t size = Layout(state.config, Dtype::f32).parameters;
  std::set<std::string> known;
  for (const std::string& name : state_tensors(state.options)) {
    const SafetensorsEntry* entry = state.file.find(name);
    require_file(entry && entry->dtype == "F32" && entry->shape == Shape{size}, state.path,
                 ": tensor ", name, " must be F32 [", size, "]");
    check_finite(state.path, state.file, *entry);
    known.insert(name);
  }
  for (const SafetensorsEntry& entry : state.file.entries)
    require_file(known.contains(entry.name), state.path, ": unknown tensor ", shown(entry.name));
}

}  // namespace

const std::string& StoredState::text(const char* key) const {
  return metadata(file, path, key);
}

const std::uint8_t* StoredState::values(const std::string& name) const {
  return file.data.data() + file.find(name)->begin;
}

void StoredState::require_saved_with(const std::map<std::string, std::string>& model) const {
  const auto wanted = file.metadata.find(kModelHash);
  if (wanted == file.metadata.end()) return;
  const auto found = model.find(kContentHash);
  require_file(found != model.end() && found->second == wanted->second, path,
               ": was saved with the model file of hash ", shown(wanted->second),
               "; the one beside it has ",
               found == model.end() ? std::string("none") : found->second);
}

std::vector<std::string> state_tensors(const TrainOptions& options) {
  std::vector<std::string> names = {"parameters", "first", "second"};
  if (options.average > 0) names.push_back("average");
  return names;
}

StoredState read_state(const std::string& path) {
  StoredState state{path, read_safetensors(path), {}, {}, {}};
  check_format(state.file, path, "rheo-state");
  check_sealed(state.file, path, kModelHash);
  state.config = config_of(state.file, path);
  state.options = options_of(state);
  state.at = {number(state, "steps"), number(state, "updates"), number(state, "skipped_in_row"),
              number(state, "images")};
  // Those written before there were rollbacks have none.
  if (state.file.metadata.contains("rollbacks")) state.at.rollbacks = number(state, "rollbacks");
  require_file(state.at.rollbacks <= kMostRollbacks, path, ": metadata rollbacks must be at most ",
               kMostRollbacks, "; got ", state.at.rollbacks);
  for (const char* key : {"data", "device", "threads", "instruction_set", "precision", "memory"})
    state.text(key);
  check_tensors(state);
  return state;
}

StateInfo inspect_state(const std::string& path, const CheckpointInfo* model) {
  return guarded("inspect_state", [&] {
    const StoredState state = read_state(path);
    if (model) state.require_saved_with(model->metadata);
    require_file(!model || state.config.to_json() == model->config.to_json(), path,
                 ": its config is not that of the model beside it");
    return StateInfo{state.config, state.file.metadata, state.at.steps,
                     static_cast<std::int64_t>(state.file.size)};
  });
}

}  // namespace rheo
