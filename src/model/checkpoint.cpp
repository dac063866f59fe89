#include "rheo/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

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

const std::string& metadata(const SafetensorsFile& file, const std::string& path, const char* key) {
  const auto found = file.metadata.find(key);
  require_file(found != file.metadata.end(), path, ": metadata has no key ", key,
               "; this is not a rheo checkpoint");
  return found->second;
}

template <class T>
std::vector<T> stored(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  std::vector<T> values((entry.end - entry.begin) / sizeof(T));
  if (!values.empty())
    std::memcpy(values.data(), file.data.data() + entry.begin, values.size() * sizeof(T));
  return values;
}

void check_permutation(const std::string& path, const std::string& name,
                       const std::vector<int>& p) {
  std::vector<bool> seen(p.size());
  for (int i : p) {
    const bool inside = i >= 0 && i < static_cast<int>(p.size());
    require_file(inside && !seen[inside ? i : 0], path, ": ", name, " must hold each of 0..",
                 p.size() - 1, " once; got ", i, inside ? " twice" : "");
    seen[i] = true;
  }
}

void check_values(const std::string& path, const ParameterInfo& tensor,
                  const std::vector<float>& values) {
  const bool sign = tensor.kind == ParameterInfo::Kind::sign;
  for (std::size_t i = 0; i < values.size(); ++i) {
    require_file(std::isfinite(values[i]), path, ": ", tensor.name, " must be finite; value ", i,
                 " is ", values[i]);
    require_file(!sign || std::abs(values[i]) == 1.f, path, ": ", tensor.name,
                 " must be +1 or -1; value ", i, " is ", values[i]);
  }
}

/// The tensor's values as floats, checked.
std::vector<float> checked_values(const std::string& path, const SafetensorsFile& file,
                                  const ParameterInfo& tensor) {
  const SafetensorsEntry& entry = *file.find(tensor.name);
  if (tensor.kind == ParameterInfo::Kind::permutation) {
    const auto permutation = stored<int>(file, entry);
    check_permutation(path, tensor.name, permutation);
    return {permutation.begin(), permutation.end()};
  }
  auto values = stored<float>(file, entry);
  check_values(path, tensor, values);
  return values;
}

void check_tensors(const std::string& path, const SafetensorsFile& file, const Layout& layout) {
  for (const ParameterInfo& tensor : layout.tensors) {
    const SafetensorsEntry* entry = file.find(tensor.name);
    require_file(entry, path, ": tensor ", tensor.name, " is missing");
    require_file(entry->dtype == dtype_of(tensor), path, ": ", tensor.name, " must be ",
                 dtype_of(tensor), "; got ", entry->dtype);
    require_file(entry->shape == tensor.shape, path, ": ", tensor.name, " must be ",
                 to_string(tensor.shape), " by the config; got ", to_string(entry->shape));
  }
  std::vector<std::string> known;
  for (const ParameterInfo& tensor : layout.tensors) known.push_back(tensor.name);
  std::sort(known.begin(), known.end());
  for (const SafetensorsEntry& entry : file.entries)
    require_file(std::binary_search(known.begin(), known.end(), entry.name), path,
                 ": unknown tensor ", shown(entry.name));
}

/// Refuses a config whose tensors no file of this size can hold, before even the list of them is
/// made: each flow step has over hidden^2 values, and each has a dozen tensors.
void check_size(const std::string& path, const ModelConfig& c, std::size_t bytes) {
  const double hidden = c.hidden, steps = static_cast<double>(c.steps) * std::max(1, c.levels);
  const double least = 4.0 * steps * (hidden * hidden + 12);
  require_file(least <= static_cast<double>(bytes), path, ": the config asks for over ", least,
               " bytes of tensors; the file has ", bytes);
}

ModelConfig parsed_config(const std::string& path, const SafetensorsFile& file) {
  const std::string& format = metadata(file, path, "format");
  require_file(format == "rheo", path, ": metadata format must be rheo; got ", shown(format));
  const std::string& version = metadata(file, path, "version");
  require_file(version == "1", path, ": checkpoint version must be 1; got ", shown(version),
               "; a newer rheo may read it");
  const std::string& config = metadata(file, path, "config");
  try {
    return ModelConfig::from_json(config);
  } catch (const Error& e) {
    fail(Errc::bad_file, path, ": ", e.what());
  }
}

ModelConfig checked_config(const std::string& path, const SafetensorsFile& file) {
  const ModelConfig config = parsed_config(path, file);
  check_size(path, config, file.data.size());
  return config;
}

bool checked_initialized(const std::string& path, const SafetensorsFile& file) {
  const auto found = file.metadata.find("initialized");
  if (found == file.metadata.end()) return true;
  require_file(found->second == "false", path, ": metadata initialized can only be false; got ",
               shown(found->second));
  return false;
}

}  // namespace

CheckpointInfo inspect_checkpoint(const std::string& path) {
  return guarded("inspect_checkpoint", [&] {
    const SafetensorsFile file = read_safetensors(path);
    CheckpointInfo info;
    info.config = checked_config(path, file);
    const Layout layout(info.config, Dtype::f32);
    check_tensors(path, file, layout);
    checked_initialized(path, file);
    for (const ParameterInfo& tensor : layout.tensors) {
      checked_values(path, file, tensor);
      info.tensors.push_back({tensor.name, dtype_of(tensor), tensor.shape});
    }
    info.metadata = file.metadata;
    info.parameters = layout.parameters;
    info.bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
    return info;
  });
}

Model Model::load(const std::string& path, const Compute& compute) {
  return guarded("Model::load", [&] {
    const SafetensorsFile file = read_safetensors(path);
    const ModelConfig config = checked_config(path, file);
    // Before the model is made: its memory is then no more than a few times the file's, but for the
    // matrices of fixed permutations, of a file a list each: at most 8 MB a step.
    check_tensors(path, file, Layout(config, Dtype::f32));
    auto impl = std::make_unique<Impl>(config, compute);
    for (const ParameterInfo& tensor : impl->layout.tensors)
      impl->write(tensor, checked_values(path, file, tensor));
    impl->initialized = checked_initialized(path, file);
    return Model(std::move(impl));
  });
}

CheckpointContents contents_of(const Model::Impl& model) {
  CheckpointContents contents;
  contents.metadata = {{"format", "rheo"}, {"version", "1"}, {"config", model.config.to_json()}};
  if (!model.initialized) contents.metadata["initialized"] = "false";
  for (const ParameterInfo& tensor : model.layout.tensors) {
    std::vector<float> values = model.read(tensor);
    if (tensor.kind == ParameterInfo::Kind::permutation)
      for (float& value : values) {
        const int index = static_cast<int>(value);
        std::memcpy(&value, &index, sizeof value);
      }
    contents.values.push_back(std::move(values));
    contents.tensors.push_back(
        {tensor.name, dtype_of(tensor), tensor.shape, contents.values.back().data()});
  }
  return contents;
}

void save_checkpoint(const Model::Impl& model, const std::string& path) {
  const CheckpointContents contents = contents_of(model);
  write_safetensors(path, contents.metadata, contents.tensors);
}

}  // namespace rheo
