#pragma once

#include <string>

#include "src/io/safetensors.h"
#include "src/model/impl.h"

namespace rheo {

inline constexpr const char* kVersion = "1";  // of a model's format and of a state's

/// metadata[key]. @throws Error bad_file where there is none.
const std::string& metadata(const SafetensorsFile& file, const std::string& path, const char* key);

/// That the file is of this format, and of a version that this rheo reads.
/// @throws Error bad_file; newer_file where only a newer rheo reads it.
void check_format(const SafetensorsFile& file, const std::string& path, const std::string& format);

/// That a file with metadata `sign`, which only a writer of content hashes gives it, has one: a bit
/// flipped in the key of the hash would else turn its check off.
void check_sealed(const SafetensorsFile& file, const std::string& path, const char* sign);

/// That each value of a tensor of float32 is finite, looked at where it lies. @throws Error
/// bad_file.
void check_finite(const std::string& path, const SafetensorsFile& file,
                  const SafetensorsEntry& entry);

/// The configuration, where tensors of a file of this size can be those of it.
ModelConfig config_of(const SafetensorsFile& file, const std::string& path);

}  // namespace rheo
