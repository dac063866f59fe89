// A training run on disk: model.safetensors, which anyone can use, and state.safetensors beside it.

#include <cstring>

#include "rheo/version.h"
#include "src/check.h"
#include "src/io/safetensors.h"
#include "src/io/shown.h"
#include "src/model/checkpoint.h"
#include "src/train/impl.h"

namespace rheo {
namespace {

constexpr const char* kModelFile = "/model.safetensors";
constexpr const char* kStateFile = "/state.safetensors";

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

const std::string& text(const SafetensorsFile& file, const std::string& path,
                        const std::string& key) {
  const auto found = file.metadata.find(key);
  require_file(found != file.metadata.end(), path, ": metadata has no key ", key);
  return found->second;
}

std::int64_t number(const SafetensorsFile& file, const std::string& path, const std::string& key) {
  const std::string& digits = text(file, path, key);
  const bool fits = !digits.empty() && digits.size() <= 18 &&
                    digits.find_first_not_of("0123456789") == std::string::npos;
  require_file(fits, path, ": metadata ", key, " must be a whole number; got ", shown(digits));
  return std::stoll(digits);
}

void check_format(const SafetensorsFile& file, const std::string& path) {
  const std::string& format = text(file, path, "format");
  require_file(format == "rheo-state", path, ": metadata format must be rheo-state; got ",
               shown(format));
  const std::string& version = text(file, path, "version");
  require_file(version == "1", path, ": version must be 1; got ", shown(version),
               "; a newer rheo may read it");
}

TrainOptions options_of(const SafetensorsFile& file, const std::string& path) {
  try {
    return TrainOptions::from_json(text(file, path, "train"));
  } catch (const Error& e) {
    fail(Errc::bad_file, path, ": ", e.what());
  }
}

void check_circumstances(const SafetensorsFile& file, const std::string& path,
                         const Compute& compute) {
  for (const auto& [key, value] : circumstances(compute)) {
    const std::string& was = text(file, path, key);
    require(was == value, "Trainer::resume: the run of ", path, " had ", key, " = ", was,
            ", this one ", value, "; the same bits need the same, else ask for an inexact resume");
  }
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
  m["version"] = "1";
  m["rheo"] = version();
  m["config"] = model_.config().to_json();
  m["train"] = options_.to_json();
  m["data"] = fingerprint_;
  m["steps"] = std::to_string(at_.steps);
  m["updates"] = std::to_string(at_.updates);
  m["skipped_in_row"] = std::to_string(at_.skipped_in_row);
  m["images"] = std::to_string(at_.images);
  return m;
}

void Trainer::Impl::save(const std::string& folder) {
  model().save(folder + kModelFile);
  std::vector<std::vector<float>> values;
  std::vector<SafetensorsTensor> tensors;
  const std::int64_t size = net().layout.parameters;
  const auto add = [&](const char* name, const float* from) {
    std::vector<float>& to = values.emplace_back(size);
    net().queue.copy(to.data(), from, size * sizeof(float));
    tensors.push_back({name, "F32", {size}, to.data()});
  };
  add("parameters", net().parameters());
  for (const Named& named : state()) add(named.name, named.buffer->as<float>());
  net().queue.synchronize();
  write_safetensors(folder + kStateFile, metadata(), tensors);
}

void Trainer::Impl::restore(const SafetensorsFile& file, const std::string& path) {
  const std::int64_t size = net().layout.parameters;
  const auto put = [&](const char* name, float* to) {
    const SafetensorsEntry* entry = file.find(name);
    require_file(entry && entry->dtype == "F32" && entry->shape == Shape{size}, path, ": tensor ",
                 name, " must be F32 [", size, "]");
    net().queue.copy(to, file.data.data() + entry->begin, size * sizeof(float));
  };
  put("parameters", net().parameters());
  for (const Named& named : state()) put(named.name, named.buffer->as<float>());
  net().queue.synchronize();
  net().changed();
  averaged_is_stale_ = true;
  at_ = {number(file, path, "steps"), number(file, path, "updates"),
         number(file, path, "skipped_in_row"), number(file, path, "images")};
}

std::unique_ptr<Trainer::Impl> Trainer::Impl::resumed(const std::string& folder,
                                                      const Dataset& train, const Compute& compute,
                                                      bool allow_inexact) {
  const std::string path = folder + kStateFile;
  const SafetensorsFile file = read_safetensors(path);
  check_format(file, path);
  Compute wanted = compute;
  if (wanted.precision == Precision::automatic)
    wanted.precision = text(file, path, "precision") == "bf16" ? Precision::bf16 : Precision::f32;
  if (wanted.memory == Memory::automatic)
    wanted.memory = memory_of(text(file, path, "memory"), path);
  Model model = Model::load(folder + kModelFile, wanted);
  require_file(text(file, path, "config") == model.config().to_json(), path,
               ": its config is not that of the model beside it");
  if (!allow_inexact) check_circumstances(file, path, model.compute());
  auto impl = std::make_unique<Impl>(std::move(model), train, options_of(file, path));
  require_file(text(file, path, "data") == impl->fingerprint_, path, ": the run's data were ",
               shown(text(file, path, "data")), "; these are ", impl->fingerprint_);
  impl->restore(file, path);
  return impl;
}

Trainer Trainer::resume(const std::string& folder, const Dataset& train, const Compute& compute,
                        bool allow_inexact) {
  return guarded("Trainer::resume",
                 [&] { return Trainer(Impl::resumed(folder, train, compute, allow_inexact)); });
}

}  // namespace rheo
