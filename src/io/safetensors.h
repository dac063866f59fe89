#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
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
  std::uint64_t size = 0;          // of the file

  /// Null where there is none of this name.
  const SafetensorsEntry* find(const std::string& name) const;
};

/// Metadata key of a file's content hash: XXH3-128 of the whole file, its own digits taken as '0'.
inline constexpr const char* kContentHash = "xxh3_128";

/// What a writer hands over. Its bytes, shape times element size of them, come in pieces, so that
/// what lies in a device's memory is never whole in the host's; they are asked for twice.
struct SafetensorsTensor {
  using Take = std::function<void(const void* piece, std::uint64_t bytes)>;
  using Give = std::function<void(std::uint64_t bytes, const Take& take)>;

  std::string name;
  std::string dtype;
  Shape shape;
  Give give;
};

/// Of bytes that lie in the host's memory.
SafetensorsTensor::Give all_at(const void* bytes);

/// Stricter than the reference reader: no duplicate names, no empty or NUL names, rank at most 16;
/// a content hash, where the file has one, must be that of its contents.
/// @throws Error bad_file naming path, rule and value; io where reading fails.
SafetensorsFile read_safetensors(const std::string& path);

/// The same bytes for the same contents: metadata sorted, tensors in the given order (a file needs
/// no other), header padded to 8 bytes. Atomic. Adds the content hash and returns it.
/// @throws Error io; invalid_argument for names, types or metadata that the format does not have, a
/// header that read_safetensors refuses, or a tensor of another size than its shape says.
std::string write_safetensors(const std::string& path, std::map<std::string, std::string> metadata,
                              const std::vector<SafetensorsTensor>& tensors);

}  // namespace rheo
