#pragma once

#include <string>
#include <vector>

#include "rheo/tensor.h"

namespace rheo {

struct CifarImages {
  Pixels images;  ///< [N, 32, 32, 3]
  Labels labels;  ///< 0..9
};

/// CIFAR-10 binary files, in the given order: records of a label and 3072 bytes, channel by
/// channel.
/// @throws Error bad_file naming path, rule and value; out_of_memory.
CifarImages read_cifar(const std::vector<std::string>& paths);

/// The ten classes, by label.
std::vector<std::string> cifar_class_names();

}  // namespace rheo
