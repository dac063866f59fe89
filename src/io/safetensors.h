#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "rheo/tensor.h"

namespace rheo {

/// One tensor of a safetensors file, its bytes inside SafetensorsFile::data.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // "F32", "F64", "I32", ...
  Shape shape;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A safetensors file, checked: see docs of the format at huggingface/safetensors.
struct SafetensorsFile {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;               // in order of `begin`
  std::unordered_map<std::string, std::size_t> index;  // of entries, by name
  std::vector<std::uint8_t> data;  // what follows the header; 8-aligned allocation

  /// Null where there is none of this name.
  const SafetensorsEntry* find(const std::string& name) const;
};

/// What a writer hands over: `bytes` is shape times element size long.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  Shape shape;
  const void* bytes;
};

/// Stricter than the reference reader: no duplicate names, no empty or NUL names, rank at most 16.
/// @throws Error bad_file naming path, rule and value.
SafetensorsFile read_safetensors(const std::string& path);

/// The same bytes for the same contents: metadata sorted, tensors in the given order (a file needs
/// no other), header padded to 8 bytes. Atomic. @throws Error io.
void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<SafetensorsTensor>& tensors);

}  // namespace rheo
