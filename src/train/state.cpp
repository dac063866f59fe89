// A training run on disk: model.safetensors, which anyone can use, and state.safetensors beside it.

#include <algorithm>
#include <filesystem>
#include <vector>

#include "rheo/version.h"
#include "src/check.h"
#include "src/io/safetensors.h"
#include "src/io/shown.h"
#include "src/model/checkpoint.h"
#include "src/train/impl.h"
#include "src/train/stored_state.h"

namespace rheo {
namespace {

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kStateFile = "state.safetensors";

/// An empty name would be the root of the file system.
std::string file_in(const std::string& folder, const char* name) {
  require(!folder.empty(), "Trainer: a checkpoint's folder must have a name; got none");
  return folder + "/" + name;
}

std::string word_of(Precision precision) {
  return precision == Precision::bf16 ? "bf16" : "f32";
}

std::string word_of(Memory memory) {
  return memory == Memory::state ? "state" : memory == Memory::invert ? "invert" : "full";
}

Memory memory_of(const std::string& word, const std::string& path) {
  for (const Memory memory : {Memory::full, Memory::state, Memory::invert})
    if (word == word_of(memory)) return memory;
  fail(Errc::bad_file, path, ": memory must be full, state or invert; got ", shown(word));
}

/// What decides the bits of a run besides its options.
std::map<std::string, std::string> circumstances(const Compute& compute) {
  return {{"device", compute.device.name()},
          {"threads", std::to_string(compute.device.threads())},
          {"instruction_set", compute.device.instruction_set()},
          {"precision", word_of(compute.precision)},
          {"memory", word_of(compute.memory)}};
}

void check_circumstances(const StoredState& state, const Compute& compute) {
  for (const auto& [key, value] : circumstances(compute)) {
    const std::string& was = state.text(key.c_str());
    require(was == value, "Trainer::resume: the run of ", state.path, " had ", key, " = ", was,
            ", this one ", value,
            "; the same bits need the same, else allow an inexact resume (--allow-inexact)");
  }
}

/// read(folder), once more where links on the way to it were moved meanwhile: a checkpoint that is
/// no longer the last one may be gone before both its files are read.
template <class Read>
auto settled(const std::string& folder, const Read& read) {
  namespace fs = std::filesystem;
  const auto target = [&] {
    std::error_code moved;
    const std::string real =
        fs::is_symlink(folder, moved) ? fs::canonical(folder, moved).string() : folder;
    return moved ? folder : real;
  };
  for (std::string there = target();;) {
    try {
      return read(there);
    } catch (const Error& error) {
      const std::string now = target();
      const bool of_file = error.code() == Errc::bad_file || error.code() == Errc::io;
      if (!of_file || now == there) throw;
      there = now;
    }
  }
}

/// Of a device's memory.
SafetensorsTensor::Give in_pieces(const Queue& queue, const float* values) {
  return [&queue, values](std::uint64_t bytes, const SafetensorsTensor::Take& take) {
    queue.download_pieces(
        values, bytes / sizeof(float),
        [&](const float* piece, std::size_t count) { take(piece, count * sizeof(float)); });
  };
}

}  // namespace

std::vector<Trainer::Impl::Named> Trainer::Impl::state() {
  std::vector<Named> all = {{"first", &first_}, {"second", &second_}};
  if (options_.average > 0) all.push_back({"average", &average_});
  return all;
}

std::map<std::string, std::string> Trainer::Impl::metadata() const {
  std::map<std::string, std::string> m = circumstances(model_.compute());
  m["format"] = "rheo-state";
  m["version"] = kVersion;
  m["rheo"] = version();
  m["config"] = model_.config().to_json();
  m["train"] = options_.to_json();
  m["data"] = fingerprint_;
  m["steps"] = std::to_string(at_.steps);
  m["updates"] = std::to_string(at_.updates);
  m["skipped_in_row"] = std::to_string(at_.skipped_in_row);
  m["images"] = std::to_string(at_.images);
  m["rollbacks"] = std::to_string(at_.rollbacks);
  return m;
}

void Trainer::Impl::save(const std::string& folder) {
  require_sound();
  const std::string hash =
      save_checkpoint(model().impl(), file_in(folder, kModelFile), {{"data", fingerprint_}});
  std::vector<SafetensorsTensor> tensors;
  const auto add = [&](const char* name, const float* values) {
    tensors.push_back({name, "F32", {net().layout.parameters}, in_pieces(net().queue, values)});
  };
  add("parameters", net().parameters());
  for (const Named& named : state()) add(named.name, named.buffer->as<float>());
  std::map<std::string, std::string> about = metadata();
  about["model"] = hash;
  write_safetensors(file_in(folder, kStateFile), about, tensors);
}

void Trainer::Impl::restore(const StoredState& stored) {
  const std::size_t bytes = net().layout.parameters * sizeof(float);
  net().queue.copy(net().parameters(), stored.values("parameters"), bytes);
  for (const Named& named : state())
    net().queue.copy(named.buffer->as<float>(), stored.values(named.name), bytes);
  net().queue.synchronize();
  net().changed();
  averaged_is_stale_ = true;
  at_ = stored.at;
}

void Trainer::Impl::roll_back(const std::string& folder) {
  const DeviceScope scope(net().compute.device);
  const StoredState stored = read_state(file_in(folder, kStateFile));
  require_file(stored.config.to_json() == net().config.to_json() &&
                   stored.options.to_json() == options_.to_json() &&
                   stored.text("data") == fingerprint_,
               stored.path, ": is of another run");
  const std::int64_t rollbacks = at_.rollbacks + 1;
  feed_->stop();
  restore(stored);
  at_.rollbacks = rollbacks;
}

std::unique_ptr<Trainer::Impl> Trainer::Impl::resumed(const std::string& folder,
                                                      const Dataset& train, const Compute& compute,
                                                      bool allow_inexact) {
  const StoredState state = read_state(file_in(folder, kStateFile));
  const std::string model_path = file_in(folder, kModelFile);
  const SafetensorsFile model_file = read_safetensors(model_path);
  // All that can be refused is, before memory is taken that only the configuration bounds.
  state.require_saved_with(model_file.metadata);
  require_file(state.config.to_json() == config_of(model_file, model_path).to_json(), state.path,
               ": its config is not that of the model beside it");
  std::string fingerprint = train.fingerprint();
  require_file(state.text("data") == fingerprint, state.path, ": the run's data were ",
               shown(state.text("data")), "; these are ", fingerprint);
  Compute wanted = compute;
  if (wanted.precision == Precision::automatic)
    wanted.precision = state.text("precision") == "bf16" ? Precision::bf16 : Precision::f32;
  if (wanted.memory == Memory::automatic)
    wanted.memory = memory_of(state.text("memory"), state.path);
  Model model = Model::Impl::loaded(model_file, model_path, wanted);
  if (!allow_inexact) check_circumstances(state, model.compute());
  auto impl =
      std::make_unique<Impl>(std::move(model), train, state.options, std::move(fingerprint));
  impl->restore(state);
  return impl;
}

Trainer Trainer::resume(const std::string& folder, const Dataset& train, const Compute& compute,
                        bool allow_inexact) {
  return guarded("Trainer::resume", [&] {
    return settled(folder, [&](const std::string& there) {
      return Trainer(Impl::resumed(there, train, compute, allow_inexact));
    });
  });
}

}  // namespace rheo
