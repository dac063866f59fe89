#include "rheo/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "rheo/version.h"
#include "src/check.h"
#include "src/io/safetensors.h"
#include "src/io/shown.h"
#include "src/model/checkpoint.h"
#include "src/model/impl.h"

namespace rheo {
namespace {

const char* dtype_of(const ParameterInfo& tensor) {
  return tensor.kind == ParameterInfo::Kind::permutation ? "I32" : "F32";
}

/// A tensor's values where they lie in the file's data.
template <class T>
class Stored {
 public:
  Stored(const SafetensorsFile& file, const SafetensorsEntry& entry)
      : from_(file.data.data() + entry.begin), size_((entry.end - entry.begin) / sizeof(T)) {}

  std::size_t size() const { return size_; }

  T operator[](std::size_t i) const {
    T value;
    std::memcpy(&value, from_ + i * sizeof value, sizeof value);
    return value;
  }

 private:
  const std::uint8_t* from_;
  std::size_t size_;
};

void check_permutation(const std::string& path, const std::string& name, const Stored<int>& p) {
  std::vector<bool> seen(p.size());
  for (std::size_t at = 0; at < p.size(); ++at) {
    const int i = p[at];
    const bool inside = i >= 0 && i < static_cast<int>(p.size());
    require_file(inside && !seen[inside ? i : 0], path, ": ", name, " must hold each of 0..",
                 p.size() - 1, " once; got ", i, inside ? " twice" : "");
    seen[i] = true;
  }
}

void check_signs(const std::string& path, const std::string& name, const Stored<float>& values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    require_file(std::abs(values[i]) == 1.f, path, ": ", name, " must be +1 or -1; value ", i,
                 " is ", values[i]);
}

/// As floats.
template <class T>
std::vector<float> values_of(const Stored<T>& stored) {
  std::vector<float> values(stored.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(stored[i]);
  return values;
}

std::vector<float> values_of(const SafetensorsFile& file, const ParameterInfo& tensor) {
  const SafetensorsEntry& entry = *file.find(tensor.name);
  if (tensor.kind == ParameterInfo::Kind::permutation) return values_of(Stored<int>(file, entry));
  return values_of(Stored<float>(file, entry));
}

void check_tensors(const std::string& path, const SafetensorsFile& file, const Layout& layout) {
  for (const ParameterInfo& tensor : layout.tensors) {
    const SafetensorsEntry* entry = file.find(tensor.name);
    require_file(entry, path, ": tensor ", tensor.name, " is missing");
    require_file(entry->dtype == dtype_of(tensor), path, ": ", tensor.name, " must be ",
                 dtype_of(tensor), "; got ", entry->dtype);
    require_file(entry->shape == tensor.shape, path, ": ", tensor.name, " must be ",
                 to_string(tensor.shape), " by the config; got ", to_string(entry->shape));
    if (tensor.kind == ParameterInfo::Kind::permutation)
      check_permutation(path, tensor.name, {file, *entry});
    else
      check_finite(path, file, *entry);
    if (tensor.kind == ParameterInfo::Kind::sign) check_signs(path, tensor.name, {file, *entry});
  }
  std::vector<std::string> known;
  for (const ParameterInfo& tensor : layout.tensors) known.push_back(tensor.name);
  std::sort(known.begin(), known.end());
  for (const SafetensorsEntry& entry : file.entries)
    require_file(std::binary_search(known.begin(), known.end(), entry.name), path,
                 ": unknown tensor ", shown(entry.name));
}

/// Refuses a config whose tensors no file of this size can hold, before even the list of them is
/// made: each flow step has hidden^2 values and at least seven more.
void check_size(const std::string& path, const ModelConfig& c, std::size_t bytes) {
  const double hidden = c.hidden, steps = static_cast<double>(c.steps) * std::max(1, c.levels);
  const double least = 4.0 * steps * (hidden * hidden + 7);
  require_file(least <= static_cast<double>(bytes), path, ": the config asks for over ", least,
               " bytes of tensors; the file has ", bytes);
}

bool is_newer(const std::string& version) {
  return version.size() <= 9 && version.find_first_not_of("0123456789") == std::string::npos &&
         std::stol("0" + version) > std::stol(kVersion);
}

ModelConfig checked_config(const std::string& path, const SafetensorsFile& file) {
  check_format(file, path, "rheo");
  check_sealed(file, path, "rheo");
  return config_of(file, path);
}

bool checked_initialized(const std::string& path, const SafetensorsFile& file) {
  const auto found = file.metadata.find("initialized");
  if (found == file.metadata.end()) return true;
  require_file(found->second == "false", path, ": metadata initialized can only be false; got ",
               shown(found->second));
  return false;
}

/// As the file has them: a permutation's are whole numbers.
std::vector<float> stored_values(const Model::Impl& model, const ParameterInfo& tensor) {
  std::vector<float> values = model.read(tensor);
  if (tensor.kind == ParameterInfo::Kind::permutation)
    for (float& value : values) {
      const int index = static_cast<int>(value);
      std::memcpy(&value, &index, sizeof value);
    }
  return values;
}

}  // namespace

const std::string& metadata(const SafetensorsFile& file, const std::string& path, const char* key) {
  const auto found = file.metadata.find(key);
  require_file(found != file.metadata.end(), path, ": metadata has no key ", key,
               "; this is not a rheo checkpoint");
  return found->second;
}

void check_format(const SafetensorsFile& file, const std::string& path, const std::string& format) {
  const std::string& found = metadata(file, path, "format");
  require_file(found == format, path, ": metadata format must be ", format, "; got ", shown(found),
               found == "rheo-state" ? ": the model is in model.safetensors beside it" : "");
  const std::string& version = metadata(file, path, "version");
  if (version == kVersion) return;
  const auto writer = file.metadata.find("rheo");
  const std::string by =
      writer == file.metadata.end() ? "" : ", written by rheo " + shown(writer->second);
  if (is_newer(version))
    fail(Errc::newer_file, path, ": is of format version ", shown(version), by, "; rheo ",
         rheo::version(), " reads version ", kVersion, ": use a newer rheo");
  fail(Errc::bad_file, path, ": format version must be ", kVersion, "; got ", shown(version));
}

void check_sealed(const SafetensorsFile& file, const std::string& path, const char* sign) {
  require_file(!file.metadata.contains(sign) || file.metadata.contains(kContentHash), path,
               ": its content hash ", kContentHash, " is missing: it is damaged, or was written ",
               "anew by a program that kept the metadata ", sign);
}

void check_finite(const std::string& path, const SafetensorsFile& file,
                  const SafetensorsEntry& entry) {
  const Stored<float> values(file, entry);
  for (std::size_t i = 0; i < values.size(); ++i)
    require_file(std::isfinite(values[i]), path, ": ", entry.name, " must be finite; value ", i,
                 " is ", values[i]);
}

ModelConfig config_of(const SafetensorsFile& file, const std::string& path) {
  const std::string& text = metadata(file, path, "config");
  ModelConfig config;
  try {
    config = ModelConfig::from_json(text);
  } catch (const Error& e) {
    fail(e.code(), path, ": ", e.what());
  }
  check_size(path, config, file.data.size());
  return config;
}

CheckpointInfo inspect_checkpoint(const std::string& path) {
  return guarded("inspect_checkpoint", [&] {
    const SafetensorsFile file = read_safetensors(path);
    CheckpointInfo info;
    info.config = checked_config(path, file);
    const Layout layout(info.config, Dtype::f32);
    check_tensors(path, file, layout);
    checked_initialized(path, file);
    for (const ParameterInfo& tensor : layout.tensors)
      info.tensors.push_back({tensor.name, dtype_of(tensor), tensor.shape});
    info.metadata = file.metadata;
    info.parameters = layout.parameters;
    info.bytes = static_cast<std::int64_t>(file.size);
    return info;
  });
}

Model Model::Impl::loaded(const SafetensorsFile& file, const std::string& path,
                          const Compute& compute) {
  const ModelConfig config = checked_config(path, file);
  // All checks come before the model is made: what is refused costs no more than the file. That of
  // a good one is a few times the file, but for the matrices of fixed permutations, of a file a
  // list each: at most 8 MB a step.
  check_tensors(path, file, Layout(config, Dtype::f32));
  const bool initialized = checked_initialized(path, file);
  auto impl = std::make_unique<Impl>(config, compute);
  for (const ParameterInfo& tensor : impl->layout.tensors)
    impl->write(tensor, values_of(file, tensor));
  impl->initialized = initialized;
  return Model(std::move(impl));
}

Model Model::load(const std::string& path, const Compute& compute) {
  return guarded("Model::load",
                 [&] { return Impl::loaded(read_safetensors(path), path, compute); });
}

std::string save_checkpoint(const Model::Impl& model, const std::string& path,
                            const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> metadata = {{"format", "rheo"},
                                                 {"version", kVersion},
                                                 {"config", model.config.to_json()},
                                                 {"rheo", version()}};
  if (!model.initialized) metadata["initialized"] = "false";
  metadata.insert(more.begin(), more.end());
  std::vector<SafetensorsTensor> tensors;
  for (const ParameterInfo& tensor : model.layout.tensors) {
    const auto give = [&](std::uint64_t bytes, const SafetensorsTensor::Take& take) {
      take(stored_values(model, tensor).data(), bytes);
    };
    tensors.push_back({tensor.name, dtype_of(tensor), tensor.shape, give});
  }
  return write_safetensors(path, metadata, tensors);
}

}  // namespace rheo
