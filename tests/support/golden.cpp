#include "tests/support/golden.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "src/check.h"
#include "src/io/safetensors.h"

namespace rheo::test {

namespace {

constexpr const char* kModel = ".model.safetensors";
constexpr const char* kGolden = ".golden.safetensors";

template <class T>
std::vector<double> widened(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  std::vector<double> values;
  for (std::size_t at = entry.begin; at < entry.end; at += sizeof(T)) {
    T value;
    std::memcpy(&value, &file.data[at], sizeof value);
    values.push_back(static_cast<double>(value));
  }
  return values;
}

using Tensors = std::map<std::string, std::vector<double>>;

Tensors tensors_of(const std::string& path, const SafetensorsFile& file) {
  Tensors tensors;
  for (const SafetensorsEntry& entry : file.entries) {
    if (entry.dtype == "F32")
      tensors[entry.name] = widened<float>(file, entry);
    else if (entry.dtype == "F64")
      tensors[entry.name] = widened<double>(file, entry);
    else if (entry.dtype == "I32")
      tensors[entry.name] = widened<std::int32_t>(file, entry);
    else
      fail(Errc::bad_file, path, ": ", entry.name, " is of type ", entry.dtype);
  }
  return tensors;
}

std::vector<double> take(const std::string& path, Tensors& tensors, const std::string& name,
                         std::size_t size) {
  auto found = tensors.extract(name);
  require_file(!found.empty(), path, ": no tensor ", name);
  require_file(found.mapped().size() == size, path, ": ", name, " must hold ", size,
               " values; got ", found.mapped().size());
  return std::move(found.mapped());
}

void append_names(const std::string& folder, std::vector<std::string>& names) {
  const std::size_t before = names.size();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (path.ends_with(kModel)) names.push_back(path.substr(0, path.size() - std::strlen(kModel)));
  }
  require_file(names.size() > before, folder, ": no *", kModel);
  std::sort(names.begin() + static_cast<std::ptrdiff_t>(before), names.end());
}

}  // namespace

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  // A build that was carried elsewhere says where its cases lie.
  const char* moved = std::getenv("RHEO_GOLDEN");
  append_names(moved ? moved : RHEO_GOLDEN_DIR, names);
  if (const char* outside = std::getenv("RHEO_OUTSIDE_GOLDEN")) append_names(outside, names);
  return names;
}

std::vector<std::string> all_golden_names() {
  std::vector<std::string> names = golden_names();
  const char* moved = std::getenv("RHEO_GOLDEN");
  append_names(std::string(moved ? moved : RHEO_GOLDEN_DIR) + "/family", names);
  return names;
}

GoldenCase load_golden(const std::string& name) {
  const std::string path = name + kGolden;
  GoldenCase golden;
  golden.name = std::filesystem::path(name).filename().string();
  golden.model_path = name + kModel;
  const SafetensorsFile model = read_safetensors(golden.model_path);
  golden.config = ModelConfig::from_json(model.metadata.at("config"));
  golden.parameters = tensors_of(golden.model_path, model);

  const SafetensorsFile file = read_safetensors(path);
  Tensors tensors = tensors_of(path, file);
  const std::size_t images = tensors["log_prob"].size();
  const std::size_t values = images * static_cast<std::size_t>(golden.config.dims());
  golden.images = static_cast<int>(images);
  golden.log_prob = take(path, tensors, "log_prob", images);
  golden.latents = take(path, tensors, "latents", values);
  golden.x = take(path, tensors, "x", values);
  const std::vector<double> labels = take(path, tensors, "labels", images);
  if (golden.config.classes > 0) golden.labels.assign(labels.begin(), labels.end());
  golden.gradients["x"] = take(path, tensors, "grad.x", values);
  for (const auto& [key, parameter] : golden.parameters)
    if (!key.ends_with(".sign") && !key.ends_with(".permutation"))
      golden.gradients[key] = take(path, tensors, "grad." + key, parameter.size());
  require_file(tensors.empty(), path, ": more tensors than the model has parameters");
  return golden;
}

}  // namespace rheo::test
