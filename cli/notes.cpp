#include "cli/notes.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "rheo/device.h"
#include "rheo/error.h"

namespace rheo::cli {

namespace {

namespace fs = std::filesystem;

// Data that were standardised and then split are well within; a flow learns what is a little beyond
// in a few more updates, and what is far beyond not at all.
constexpr double kFarMean = 0.5;
constexpr double kFarDeviation = 2;

std::string first_word(const fs::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

/// Whether there seems to be a display controller, PCI class 03, of NVIDIA.
bool seems_to_have_gpu() {
  std::error_code none;
  if (fs::exists("/dev/nvidiactl", none)) return true;  // containers may hide the bus
  fs::directory_iterator device("/sys/bus/pci/devices", none);
  for (; !none && device != fs::directory_iterator(); device.increment(none))
    if (first_word(device->path() / "vendor") == "0x10de" &&
        first_word(device->path() / "class").starts_with("0x03"))
      return true;
  return false;
}

struct Scale {
  double mean = 0, deviation = 0;
  bool is_constant = true;

  bool is_far() const {
    return std::abs(mean) > kFarMean || deviation > kFarDeviation || deviation < 1 / kFarDeviation;
  }
};

std::vector<Scale> scales_of(const Tensor& vectors) {
  const auto columns = static_cast<std::size_t>(vectors.shape[1]);
  const auto count = static_cast<double>(vectors.shape[0]);
  std::vector<Scale> scales(columns);
  for (std::size_t i = 0; i < vectors.data.size(); ++i) {
    Scale& scale = scales[i % columns];
    scale.mean += vectors.data[i] / count;
    if (vectors.data[i] != vectors.data[i % columns]) scale.is_constant = false;
  }
  for (std::size_t i = 0; i < vectors.data.size(); ++i) {
    Scale& scale = scales[i % columns];
    scale.deviation += std::pow(vectors.data[i] - scale.mean, 2) / count;
  }
  for (Scale& scale : scales) scale.deviation = std::sqrt(scale.deviation);
  return scales;
}

}  // namespace

std::string note_of_gpu() {
  if (!seems_to_have_gpu()) return {};
  try {
    Device::cuda();
  } catch (const Error& error) {
    return fmt::format("not on a GPU: {}", error.what());
  }
  return {};
}

std::string note_of_scale(const Tensor& vectors) {
  if (vectors.shape[0] < 2) return {};
  const std::vector<Scale> scales = scales_of(vectors);
  const Scale* first = nullptr;
  std::size_t far = 0;
  for (const Scale& scale : scales) {
    if (scale.is_constant)
      return fmt::format("column {} is {:g} in all vectors, which has no density: leave it out",
                         &scale - scales.data(), scale.mean);
    if (!scale.is_far()) continue;
    if (far++ == 0) first = &scale;
  }
  if (!first) return {};
  return fmt::format(
      "{} of {} columns are far from mean 0 and deviation 1, which flows need to learn well: "
      "column {} has {:.4g} and {:.4g}; train on (x - mean) / deviation of each column, and bring "
      "other vectors to scale by the same numbers",
      far, scales.size(), first - scales.data(), first->mean, first->deviation);
}

}  // namespace rheo::cli
