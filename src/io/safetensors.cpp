#include "src/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "src/check.h"
#include "src/io/dtype.h"
#include "src/io/file.h"
#include "src/io/hash.h"
#include "src/io/json.h"
#include "src/io/shown.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

using Json = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
/// The format allows 100 MB; a model of the most steps has half of this, and what a header is read
/// into takes many times its length.
constexpr std::uint64_t kLongestHeader = 8 << 20;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kHighestRank = 16;
constexpr const char* kMetadata = "__metadata__";

std::string read_header(const InputFile& file) {
  const std::string& path = file.path();
  require_file(file.size() >= kLengthBytes, path,
               ": a safetensors file must have at least 8 bytes; got ", file.size());
  std::uint64_t length = 0;
  file.read(0, &length, kLengthBytes);
  require_file(length > 0, path, ": the safetensors header must not be empty; got length 0");
  require_file(length <= kLongestHeader, path, ": is damaged or no safetensors file: got length ",
               length, " of its header, which must have at most ", kLongestHeader, " bytes");
  require_file(length <= file.size() - kLengthBytes, path, ": the safetensors header says ", length,
               " bytes, the file has ", file.size() - kLengthBytes, " after the length");
  std::string header(length, '\0');
  file.read(kLengthBytes, header.data(), length);
  require_file(header[0] == '{', path, ": the safetensors header must begin with '{'; got byte ",
               int{static_cast<std::uint8_t>(header[0])});
  return header;
}

std::map<std::string, std::string> metadata_from(const Json& json, const std::string& path) {
  std::map<std::string, std::string> metadata;
  if (json.is_null()) return metadata;
  require_file(json.is_object(), path, ": __metadata__ must be an object; got ", json.type_name());
  for (const auto& [key, value] : json.items()) {
    require_file(value.is_string(), path, ": metadata \"", shown(key), "\" must be a string; got ",
                 value.type_name());
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

/// Reads one tensor's object; every message begins with `who`, the path and the tensor's name.
class EntryParser {
 public:
  EntryParser(const std::string& path, const std::string& name, const Json& json)
      : json_(json), who_(path + ": tensor \"" + shown(name) + "\"") {
    entry_.name = name;
    require_file(!name.empty(), path, ": tensors must have a name; got an empty one");
    require_file(name.find('\0') == std::string::npos, who_, " must have no NUL in its name");
    require_file(json.is_object(), who_, " must be an object; got ", json.type_name());
  }

  SafetensorsEntry parse() {
    const std::uint64_t size = parse_dtype();
    parse_shape();
    parse_offsets();
    const auto bytes = byte_count(entry_.shape, size);
    require_file(bytes.has_value(), who_, ": its shape ", to_string(entry_.shape),
                 " must not overflow 64 bits");
    require_file(*bytes == entry_.end - entry_.begin, who_, ": shape ", to_string(entry_.shape),
                 " of ", entry_.dtype, " needs ", *bytes, " bytes, its data_offsets span ",
                 entry_.end - entry_.begin);
    return entry_;
  }

 private:
  const Json& field(const char* key) {
    const auto found = json_.find(key);
    require_file(found != json_.end(), who_, " must have \"", key, "\"; it is missing");
    return *found;
  }

  std::uint64_t parse_dtype() {
    const Json& dtype = field("dtype");
    require_file(dtype.is_string(), who_, ": dtype must be a string; got ", dtype.type_name());
    entry_.dtype = dtype.get<std::string>();
    const std::uint64_t size = dtype_size(entry_.dtype);
    require_file(size > 0, who_, ": dtype must be a known one; got \"", shown(entry_.dtype), "\"");
    return size;
  }

  void parse_shape() {
    const Json& shape = field("shape");
    require_file(shape.is_array(), who_, ": shape must be an array; got ", shape.type_name());
    require_file(shape.size() <= kHighestRank, who_, ": shape must have at most ", kHighestRank,
                 " dimensions; got ", shape.size());
    for (const Json& dim : shape) {
      entry_.shape.push_back(static_cast<std::int64_t>(
          whole_number(dim, "a dimension", std::numeric_limits<std::int64_t>::max())));
    }
  }

  void parse_offsets() {
    const Json& offsets = field("data_offsets");
    require_file(offsets.is_array() && offsets.size() == 2, who_,
                 ": data_offsets must be two numbers; got ", shown(offsets.dump()));
    entry_.begin = whole_number(offsets[0], "data_offsets", kMost);
    entry_.end = whole_number(offsets[1], "data_offsets", kMost);
    require_file(entry_.begin <= entry_.end, who_, ": data_offsets must not go backwards; got [",
                 entry_.begin, ", ", entry_.end, "]");
  }

  std::uint64_t whole_number(const Json& json, const char* what, std::uint64_t most) const {
    require_file(json.is_number_unsigned() && json.get<std::uint64_t>() <= most, who_, ": ", what,
                 " must be a whole number up to ", most, "; got ", shown(json.dump()));
    return json.get<std::uint64_t>();
  }

  const Json& json_;
  std::string who_;
  SafetensorsEntry entry_;
};

/// That the tensors, in order, cover `data_bytes` with no hole and no overlap.
void require_cover(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                   const std::string& path) {
  std::uint64_t end = 0;
  for (const auto& entry : entries) end = std::max<std::uint64_t>(end, entry.end);
  require_file(end == data_bytes, path, ": the safetensors header says ", end,
               " bytes of tensors, the file has ", data_bytes,
               end > data_bytes ? "; it is truncated" : "; it has bytes too many");
  end = 0;
  for (const auto& entry : entries) {
    require_file(entry.begin == end, path, ": tensor \"", shown(entry.name), "\" must begin at ",
                 end, ", where the one before it ends; got ", entry.begin, ", which leaves ",
                 entry.begin > end ? "a hole" : "an overlap");
    end = entry.end;
  }
}

/// In place of a content hash, while it is yet to come and while it is taken.
constexpr std::string_view kNoDigits = "00000000000000000000000000000000";

/// Where the digits stand in the header: a value of metadata would have its quotes escaped.
std::size_t find_digits(const std::string& header, std::string_view digits) {
  const std::string before = std::string("\"") + kContentHash + "\":\"";
  const std::size_t at = header.find(before + std::string(digits) + '"');
  const bool once = at != std::string::npos && header.find(before, at + 1) == std::string::npos;
  return once ? at + before.size() : std::string::npos;
}

ContentHash hash_of_header(const std::string& header) {
  const std::uint64_t length = header.size();
  ContentHash hash;
  hash.add(&length, kLengthBytes);
  hash.add(header.data(), length);
  return hash;
}

/// That the file's contents have the hash that it names, where it names one.
void require_whole(const SafetensorsFile& file, std::string header, const std::string& path) {
  const auto named = file.metadata.find(kContentHash);
  if (named == file.metadata.end()) return;
  const std::string& digits = named->second;
  const std::size_t at =
      digits.size() == kNoDigits.size() ? find_digits(header, digits) : std::string::npos;
  require_file(at != std::string::npos, path, ": metadata ", kContentHash,
               " must be 32 digits and stand there once, without spaces; got ", shown(digits));
  header.replace(at, kNoDigits.size(), kNoDigits);
  ContentHash hash = hash_of_header(header);
  hash.add(file.data.data(), file.data.size());
  const std::string found = hash.digits();
  require_file(found == digits, path, ": its contents have the hash ", found, ", not ",
               shown(digits), " as it says: it is damaged, or was changed by a writer that kept ",
               "the metadata ", kContentHash);
}

/// As JSON has it.
std::string quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail(Errc::invalid_argument, "write_safetensors: names and metadata must be UTF-8");
  }
}

std::string joined(const Shape& shape) {
  std::string text;
  for (std::int64_t extent : shape) text += (text.empty() ? "" : ",") + std::to_string(extent);
  return text;
}

/// Written word by word: the JSON library's objects in order copy all they hold as they grow.
std::string header_of(const std::map<std::string, std::string>& metadata,
                      const std::vector<SafetensorsTensor>& tensors) {
  std::string header = "{" + quoted(kMetadata) + ":{";
  for (const auto& [key, value] : metadata)
    header += (header.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
  header += '}';
  std::uint64_t at = 0;
  std::set<std::string> names{kMetadata, ""};
  for (const auto& tensor : tensors) {
    const auto bytes = byte_count(tensor.shape, dtype_size(tensor.dtype));
    require(dtype_size(tensor.dtype) > 0 && bytes && tensor.shape.size() <= kHighestRank,
            "write_safetensors: \"", shown(tensor.name),
            "\" must have a type and shape of the format; got ", shown(tensor.dtype), " ",
            to_string(tensor.shape));
    require(names.insert(tensor.name).second,
            "write_safetensors: names must be unique and not empty; got \"", shown(tensor.name),
            "\"");
    header += "," + quoted(tensor.name) + R"(:{"dtype":)" + quoted(tensor.dtype) + R"(,"shape":[)" +
              joined(tensor.shape) + R"(],"data_offsets":[)" + std::to_string(at) + "," +
              std::to_string(at + *bytes) + "]}";
    at += *bytes;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  require(header.size() <= kLongestHeader, "write_safetensors: the header must fit into ",
          kLongestHeader, " bytes; got ", header.size());
  return header;
}

/// All bytes of all tensors in order, as many of each as its shape says.
void give_all(const std::vector<SafetensorsTensor>& tensors, const SafetensorsTensor::Take& take) {
  for (const auto& tensor : tensors) {
    const std::uint64_t bytes = *byte_count(tensor.shape, dtype_size(tensor.dtype));
    std::uint64_t given = 0;
    tensor.give(
        bytes, [&](const void* piece, std::uint64_t count) { take(piece, count), given += count; });
    require(given == bytes, "write_safetensors: \"", shown(tensor.name), "\" must have ", bytes,
            " bytes; got ", given);
  }
}

}  // namespace

const SafetensorsEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index.find(name);
  return found == index.end() ? nullptr : &entries[found->second];
}

SafetensorsFile read_safetensors(const std::string& path) {
  const InputFile file(path);
  const std::string header = read_header(file);
  Json json = parse_json(header, path + ": safetensors header");
  const Emptied emptied(json);
  SafetensorsFile result;
  result.size = file.size();
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadata) {
      result.metadata = metadata_from(value, path);
    } else {
      result.entries.push_back(EntryParser(path, name, value).parse());
    }
  }
  std::stable_sort(result.entries.begin(), result.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const std::uint64_t data_bytes = file.size() - kLengthBytes - header.size();
  require_cover(result.entries, data_bytes, path);
  for (std::size_t i = 0; i < result.entries.size(); ++i) result.index[result.entries[i].name] = i;
  result.data = file.read_rest(kLengthBytes + header.size());
  require_whole(result, header, path);
  return result;
}

SafetensorsTensor::Give all_at(const void* bytes) {
  return [bytes](std::uint64_t count, const SafetensorsTensor::Take& take) { take(bytes, count); };
}

std::string write_safetensors(const std::string& path, std::map<std::string, std::string> metadata,
                              const std::vector<SafetensorsTensor>& tensors) {
  metadata[kContentHash] = kNoDigits;
  std::string header = header_of(metadata, tensors);
  ContentHash hash = hash_of_header(header);
  give_all(tensors, [&](const void* piece, std::uint64_t count) { hash.add(piece, count); });
  const std::string digits = hash.digits();
  header.replace(find_digits(header, kNoDigits), digits.size(), digits);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(&length, kLengthBytes);
  file.write(header.data(), length);
  give_all(tensors, [&](const void* piece, std::uint64_t count) { file.write(piece, count); });
  file.commit();
  return digits;
}

}  // namespace rheo
