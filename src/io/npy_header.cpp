#include "src/io/npy_header.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "src/check.h"
#include "src/io/shown.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kLongestHeader = 65536;
constexpr std::size_t kHighestRank = 32;  // NumPy's
constexpr std::size_t kAlignment = 64;    // of the data, as NumPy writes it

struct NamedKind {
  std::string_view descr;
  NpyKind kind;
  std::uint64_t size;
  std::string_view name;
};

constexpr std::array<NamedKind, 12> kKinds = {{{"b1", NpyKind::b1, 1, "bool"},
                                               {"i1", NpyKind::i1, 1, "int8"},
                                               {"u1", NpyKind::u1, 1, "uint8"},
                                               {"i2", NpyKind::i2, 2, "int16"},
                                               {"u2", NpyKind::u2, 2, "uint16"},
                                               {"i4", NpyKind::i4, 4, "int32"},
                                               {"u4", NpyKind::u4, 4, "uint32"},
                                               {"i8", NpyKind::i8, 8, "int64"},
                                               {"u8", NpyKind::u8, 8, "uint64"},
                                               {"f2", NpyKind::f2, 2, "float16"},
                                               {"f4", NpyKind::f4, 4, "float32"},
                                               {"f8", NpyKind::f8, 8, "float64"}}};

/// Reads the one dictionary of a header, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)},
/// keys in any order, and nothing else of Python.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  NpyHeader parse() {
    expect('{');
    while (!take('}')) {
      parse_item();
      if (!take(',') && peek() != '}') malformed("',' or '}'");
    }
    skip_spaces();
    if (!text_.empty()) malformed("its end");
    require_file(has_kind_ && has_order_ && has_shape_, path_,
                 ": its npy header must have descr, fortran_order and shape; one is missing");
    return header_;
  }

 private:
  void parse_item() {
    const std::string key = parse_string();
    expect(':');
    if (key == "descr") {
      once(has_kind_, key);
      parse_descr();
    } else if (key == "fortran_order") {
      once(has_order_, key);
      const std::string_view word = parse_word();
      require_file(word == "False", path_, ": arrays must be in C order; got fortran_order ",
                   shown(word), "; save what numpy.ascontiguousarray makes of it");
    } else if (key == "shape") {
      once(has_shape_, key);
      parse_shape();
    } else {
      fail(Errc::bad_file, path_, ": its npy header must have no key but descr, fortran_order, ",
           "shape; got \"", shown(key), "\"");
    }
  }

  void once(bool& seen, const std::string& key) {
    require_file(!seen, path_, ": its npy header must have each key once; got ", key, " twice");
    seen = true;
  }

  void parse_descr() {
    require_file(peek() == '\'' || peek() == '"', path_,
                 ": arrays must be of one number type, not of records");
    const std::string descr = parse_string();
    for (const NamedKind& kind : kKinds) {
      const bool little = descr[0] == '<' || (kind.size == 1 && descr[0] == '|');
      if (little && descr.substr(1) == kind.descr) {
        header_.kind = kind.kind;
        return;
      }
    }
    fail(Errc::bad_file, path_, ": its type must be bool, an integer, float32 or float64, ",
         "little-endian; got \"", shown(descr), "\"");
  }

  void parse_shape() {
    expect('(');
    while (!take(')')) {
      std::int64_t dim = 0;
      skip_spaces();
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), dim);
      if (error != std::errc() || dim < 0) malformed("a dimension up to 2^63 - 1");
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      header_.shape.push_back(dim);
      require_file(header_.shape.size() <= kHighestRank, path_, ": its shape must have at most ",
                   kHighestRank, " dimensions");
      if (!take(',') && peek() != ')') malformed("',' or ')'");
    }
  }

  std::string parse_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') malformed("a string");
    const std::size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos) malformed("a string");
    std::string string(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    if (string.empty()) malformed("a string of some length");
    return string;
  }

  std::string_view parse_word() {
    skip_spaces();
    const std::string_view word = text_.substr(0, text_.find_first_of(" ,}"));
    text_.remove_prefix(word.size());
    return word;
  }

  void skip_spaces() {
    text_.remove_prefix(std::min(text_.find_first_not_of(" \t\r\n"), text_.size()));
  }

  char peek() {
    skip_spaces();
    return text_.empty() ? '\0' : text_[0];
  }

  bool take(char c) {
    if (peek() != c) return false;
    text_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!take(c)) malformed(std::string{'\'', c, '\''}.c_str());
  }

  [[noreturn]] void malformed(const char* expected) const {
    fail(Errc::bad_file, path_, ": its npy header must have ", expected, " before \"",
         shown(text_, 20), "\"");
  }

  std::string_view text_;  // what is left of it
  const std::string& path_;
  NpyHeader header_;
  bool has_kind_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
};

const NamedKind& named(NpyKind kind) {
  return *std::find_if(kKinds.begin(), kKinds.end(), [&](auto& n) { return n.kind == kind; });
}

struct Text {
  std::string text;
  std::uint64_t end;  // where it ends in the file
};

Text read_text(const InputFile& file) {
  const std::string& path = file.path();
  std::array<std::uint8_t, 12> start{};
  // A version 1 file has 10 bytes before its header's text, a later one 12; none ends before that.
  require_file(file.size() >= start.size(), path, ": an npy file must have at least ", start.size(),
               " bytes; got ", file.size());
  file.read(0, start.data(), start.size());
  require_file(std::memcmp(start.data(), kMagic.data(), kMagic.size()) == 0, path,
               ": must be an npy file; it does not begin as one");
  const int version = start[6];
  require_file(version >= 1 && version <= 3, path, ": its npy version must be 1 to 3; got ",
               version);
  std::uint64_t length = start[8] | start[9] << 8;
  if (version > 1) length |= std::uint64_t{start[10]} << 16 | std::uint64_t{start[11]} << 24;
  const std::uint64_t begin = version == 1 ? 10 : 12;
  require_file(length <= kLongestHeader, path, ": its npy header must have at most ",
               kLongestHeader, " bytes; got length ", length);
  require_file(length <= file.size() - begin, path, ": its npy header says ", length,
               " bytes, the file has ", file.size() - begin);
  Text text{std::string(length, '\0'), begin + length};
  file.read(begin, text.text.data(), length);
  return text;
}

}  // namespace

std::string_view name_of(NpyKind kind) {
  return named(kind).name;
}

NpyHeader read_npy_header(const InputFile& file) {
  const std::string& path = file.path();
  const Text text = read_text(file);
  NpyHeader header = HeaderParser(text.text, path).parse();
  header.data_begin = text.end;
  const auto bytes = byte_count(header.shape, named(header.kind).size);
  require_file(bytes.has_value(), path, ": its shape ", to_string(header.shape),
               " must not overflow 64 bits");
  require_file(*bytes == file.size() - header.data_begin, path, ": its shape ",
               to_string(header.shape), " needs ", *bytes, " bytes of data, the file has ",
               file.size() - header.data_begin);
  header.data_bytes = *bytes;
  return header;
}

std::string npy_header(const std::string& descr, const Shape& shape) {
  std::string text = "{'descr': '";
  text.append(descr).append("', 'fortran_order': False, 'shape': (");
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text.append(i > 0 ? ", " : "").append(std::to_string(shape[i]));
  }
  if (shape.size() == 1) text += ',';  // a Python tuple of one
  text.append("), }");
  while ((10 + text.size() + 1) % kAlignment != 0) text += ' ';
  text += '\n';
  std::string header(kMagic);
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace rheo
