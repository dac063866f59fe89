#include "src/io/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "src/io/file.h"
#include "src/io/hash.h"
#include "src/io/json.h"
#include "tests/support/files.h"

namespace rheo::test {
namespace {

/// A file with this header, its length as it is, and so many zero bytes of data.
Bytes file_of(const std::string& header, std::size_t data_bytes = 0) {
  Bytes bytes(8 + header.size() + data_bytes);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::copy(header.begin(), header.end(), bytes.begin() + 8);
  return bytes;
}

Bytes with_length(std::uint64_t length, const std::string& rest) {
  Bytes bytes = file_of(rest);
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

void expect_refused(const Bytes& bytes, const std::string& part) {
  const TemporaryFolder folder;
  const std::string path = folder.write("m.safetensors", bytes);
  expect_error(Errc::bad_file, part, [&] { read_safetensors(path); });
  expect_error(Errc::bad_file, path + ": ", [&] { read_safetensors(path); });
}

SafetensorsFile accepted(const Bytes& bytes) {
  const TemporaryFolder folder;
  return read_safetensors(folder.write("m.safetensors", bytes));
}

const float kFloats[] = {1.5f, -2.f, 3.f, 4.f, 5.f, 6.f};
const std::int32_t kInts[] = {7, -8};

void write_example(const std::string& path) {
  write_safetensors(path, {{"format", "rheo"}, {"config", "{\"a\":1}"}},
                    {{"ints", "I32", {2}, all_at(kInts)},
                     {"floats", "F32", {2, 3}, all_at(kFloats)},
                     {"scalar", "F32", {}, all_at(kFloats)},
                     {"none", "F64", {0, 4}, all_at(kFloats)}});
}

TEST(SafetensorsTest, WhatIsWrittenComesBack) {
  const TemporaryFolder folder;
  write_example(folder / "m");
  const SafetensorsFile file = read_safetensors(folder / "m");
  EXPECT_EQ(file.metadata.at("format"), "rheo");
  EXPECT_EQ(file.metadata.at("config"), "{\"a\":1}");
  ASSERT_EQ(file.entries.size(), 4u);
  EXPECT_EQ(file.find("absent"), nullptr);
  const SafetensorsEntry& floats = *file.find("floats");
  EXPECT_EQ(floats.dtype, "F32");
  EXPECT_EQ(floats.shape, (Shape{2, 3}));
  ASSERT_EQ(floats.end - floats.begin, sizeof kFloats);
  float values[6];
  std::memcpy(values, file.data.data() + floats.begin, sizeof values);
  EXPECT_TRUE(std::equal(std::begin(values), std::end(values), std::begin(kFloats)));
  EXPECT_EQ(std::memcmp(file.data.data() + file.find("ints")->begin, kInts, sizeof kInts), 0);
  EXPECT_EQ(file.find("scalar")->shape, Shape());
  EXPECT_EQ(file.find("none")->shape, (Shape{0, 4}));
}

TEST(SafetensorsTest, TheSameContentsGiveTheSameBytes) {
  const TemporaryFolder folder;
  write_example(folder / "a");
  write_example(folder / "b");
  const Bytes bytes = read_file(folder / "a");
  EXPECT_EQ(bytes, read_file(folder / "b"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
}

TEST(SafetensorsTest, TheFormatsOddCornersAreAccepted) {
  EXPECT_TRUE(accepted(file_of("{}")).entries.empty());
  EXPECT_TRUE(accepted(file_of("{}   \n")).entries.empty());
  EXPECT_TRUE(accepted(file_of("{\"__metadata__\":null}")).metadata.empty());
  EXPECT_EQ(accepted(file_of("{" + tensor("a", "F32", "[]", "[0,4]") + "}", 4)).entries.size(), 1u);
  EXPECT_EQ(accepted(file_of("{" + tensor("a", "F32", "[0]", "[0,0]") + "}")).entries.size(), 1u);
  const std::string backwards =
      tensor("a", "U8", "[3]", "[4,7]") + "," + tensor("b", "F32", "[1]", "[0,4]");
  EXPECT_EQ(accepted(file_of("{" + backwards + "}", 7)).entries[0].name, "b");
  EXPECT_EQ(accepted(file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
                             "\"more\":[]}}",
                             1))
                .entries.size(),
            1u);
}

TEST(SafetensorsTest, AWrongLengthFieldIsRefused) {
  expect_refused({}, "must have at least 8 bytes; got 0");
  expect_refused(Bytes(7), "must have at least 8 bytes; got 7");
  expect_refused(with_length(0, "{}"), "header must not be empty; got length 0");
  expect_refused(with_length(3, "{}"), "header says 3 bytes, the file has 2 after the length");
  expect_refused(with_length(8'388'609, "{}"),
                 "got length 8388609 of its header, which must have at most 8388608 bytes");
  expect_refused(with_length(~0ULL, "{}"), "got length 18446744073709551615");
  expect_refused(with_length(1, "{}"), "must be valid JSON");
}

TEST(SafetensorsTest, AHeaderThatIsNoObjectIsRefused) {
  expect_refused(file_of(" {}"), "must begin with '{'; got byte 32");
  expect_refused(file_of("[]"), "must begin with '{'; got byte 91");
  expect_refused(file_of("{}{}"), "must be valid JSON");
  expect_refused(file_of("{\"a\":NaN}"), "must be valid JSON; at line 1");
  expect_refused(file_of("{\"a\":1e999}"), "must be valid JSON");
  expect_refused(file_of("{\"a\xff\":1}"), "ill-formed UTF-8");
  expect_refused(file_of("{\"\\ud800\":1}"), "surrogate");
  expect_refused(file_of(std::string("{\"a\0\":1}", 8)), "must be valid JSON");
}

TEST(SafetensorsTest, DuplicateKeysAreRefusedOnEveryLevel) {
  const std::string a = tensor("a", "U8", "[1]", "[0,1]");
  expect_refused(file_of("{" + a + "," + a + "}", 1), "must have each key once; got \"a\" twice");
  expect_refused(file_of("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\"}}"), "got \"dtype\" twice");
  expect_refused(file_of("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}"), "got \"k\" twice");
  expect_refused(file_of("{\"a\":{\"x\":[{\"y\":{}},{\"z\":1,\"z\":1}]}}"), "got \"z\" twice");
}

TEST(SafetensorsTest, DeepAndEndlessHeadersAreRefused) {
  expect_refused(file_of("{\"a\":" + std::string(200'000, '[')), "nested at most 32 deep");
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 2'100'000; ++i) many += ",0";
  expect_refused(file_of(many + "]}"), "must fit into 48 MiB when it is read");
}

TEST(SafetensorsTest, MetadataMustBeStrings) {
  expect_refused(file_of("{\"__metadata__\":{\"step\":1}}"),
                 "metadata \"step\" must be a string; got number");
  expect_refused(file_of("{\"__metadata__\":[]}"), "__metadata__ must be an object; got array");
}

TEST(SafetensorsTest, AMalformedTensorIsRefused) {
  const auto refuse = [](const std::string& entry, const std::string& part) {
    expect_refused(file_of("{" + entry + "}", 4), part);
  };
  refuse("\"a\":3", "tensor \"a\" must be an object; got number");
  refuse(tensor("", "F32", "[1]", "[0,4]"), "must have a name; got an empty one");
  refuse(tensor("a\\u0000b", "F32", "[1]", "[0,4]"), "tensor \"a?b\" must have no NUL");
  refuse("\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}", "must have \"dtype\"; it is missing");
  refuse("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}", "must have \"shape\"; it is missing");
  refuse("\"a\":{\"dtype\":\"F32\",\"shape\":[1]}", "must have \"data_offsets\"; it is missing");
  refuse("\"a\":{\"dtype\":7,\"shape\":[1]}", "dtype must be a string; got number");
  refuse(tensor("a", "F33", "[1]", "[0,4]"), "dtype must be a known one; got \"F33\"");
  refuse(tensor("a", "F32", "1", "[0,4]"), "shape must be an array; got number");
  refuse(tensor("a", "F32", "[1]", "[0,4,4]"), "must be two numbers; got [0,4,4]");
  refuse(tensor("a", "F32", "[1]", "{}"), "must be two numbers; got {}");
  refuse(tensor("a", "F32", "[1]", "[4,0]"), "must not go backwards; got [4, 0]");
  refuse(tensor("a", "F32", "[1]", "[0,-4]"), "data_offsets must be a whole number");
  refuse(tensor("a", "F32", "[1]", "[0,1e400]"), "must be valid JSON");
}

TEST(SafetensorsTest, AMalformedShapeIsRefused) {
  const auto refuse = [](const std::string& shape, const std::string& part) {
    expect_refused(file_of("{" + tensor("a", "F32", shape, "[0,4]") + "}", 4), part);
  };
  for (const std::string dim : {"-1", "1.0", "1e0", "\"1\"", "null", "18446744073709551616"}) {
    refuse("[" + dim + "]", "a dimension must be a whole number");
  }
  refuse("[9223372036854775808]", "up to 9223372036854775807; got 9223372036854775808");
  refuse("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "at most 16 dimensions; got 17");
  refuse("[4294967296,4294967296]", "[4294967296, 4294967296] must not overflow 64 bits");
  refuse("[4294967296,4294967296,0]", "must not overflow 64 bits");
  refuse("[4611686018427387904]", "must not overflow 64 bits");
  refuse("[2]", "shape [2] of F32 needs 8 bytes, its data_offsets span 4");
}

TEST(SafetensorsTest, TensorsMustCoverTheFile) {
  const std::string a = tensor("a", "F32", "[1]", "[0,4]");
  expect_refused(file_of("{" + a + "}", 3), "says 4 bytes of tensors, the file has 3; it is trunc");
  expect_refused(file_of("{" + a + "}", 5), "the file has 5; it has bytes too many");
  expect_refused(file_of("{}", 1), "says 0 bytes of tensors, the file has 1");
  const std::string hole = a + "," + tensor("b", "F32", "[1]", "[5,9]");
  expect_refused(file_of("{" + hole + "}", 9), "\"b\" must begin at 4");
  expect_refused(file_of("{" + hole + "}", 9), "which leaves a hole");
  const std::string overlap = a + "," + tensor("b", "F32", "[1]", "[2,6]");
  expect_refused(file_of("{" + overlap + "}", 6), "got 2, which leaves an overlap");
  const std::string huge = tensor("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]");
  expect_refused(file_of("{" + huge + "}", 4), "says 9223372036854775807 bytes of tensors");
}

TEST(SafetensorsTest, HostileNamesDoNotReachTheTerminal) {
  expect_refused(file_of("{\"\\u001b[2J\":1}"), "tensor \"?[2J\" must be");
  expect_refused(file_of("{\"" + std::string(5000, 'x') + "\":1}"),
                 std::string(80, 'x') + "...\" must be");
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  write_example(folder / "m");
  const Bytes whole = read_file(folder / "m");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write(
        "cut", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    EXPECT_TRUE(refuses([&] { read_safetensors(path); })) << length;
  }
}

TEST(SafetensorsTest, EveryFlippedBitIsRefusedButInTheNameOfTheHash) {
  const TemporaryFolder folder;
  write_example(folder / "m");
  const Bytes whole = read_file(folder / "m");
  const std::string text(whole.begin(), whole.end()), name = kContentHash;
  const std::size_t at = text.find(name);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    Bytes damaged = whole;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    const std::string path = folder.write("damaged", damaged);
    const bool refused = refuses([&] { read_safetensors(path); });
    // Of another name it is no hash: what knows that there must be one refuses the file.
    const bool in_name = bit / 8 >= at && bit / 8 < at + name.size();
    EXPECT_TRUE(refused || in_name) << "bit " << bit;
  }
}

TEST(SafetensorsTest, TheHashIsThatOfTheFileWithItsDigitsZero) {
  const TemporaryFolder folder;
  const std::string returned =
      write_safetensors(folder / "m", {}, {{"a", "I32", {2}, all_at(kInts)}});
  Bytes bytes = read_file(folder / "m");
  const std::string text(bytes.begin(), bytes.end());
  const std::size_t at = text.find("\"xxh3_128\":\"") + 12;
  EXPECT_EQ(text.substr(at, 32), returned);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 32, '0');
  ContentHash hash;
  for (const std::uint8_t byte : bytes) hash.add(&byte, 1);
  EXPECT_EQ(hash.digits(), returned);
}

/// The first is the value for nothing of the specification of XXH3, seed 0.
TEST(ContentHashTest, IsXxh3Of128Bits) {
  EXPECT_EQ(ContentHash().digits(), "99aa06d3014798d86001c324468d497f");
  ContentHash hash;
  hash.add("rheo", 4);
  EXPECT_EQ(hash.digits(), "8e052f6a9269774428021143f0be7a64");
}

TEST(SafetensorsTest, AFailedWriteLeavesNothing) {
  const TemporaryFolder folder;
  expect_error(Errc::io, "/dev/full: cannot be written: No space left",
               [] { write_example("/dev/full"); });
  expect_error(Errc::invalid_argument, "must be unique", [&] {
    write_safetensors(folder / "m", {},
                      {{"a", "I32", {2}, all_at(kInts)}, {"a", "I32", {2}, all_at(kInts)}});
  });
  expect_error(Errc::invalid_argument, "must have a type and shape of the format", [&] {
    write_safetensors(folder / "m", {}, {{"a", "F99", {2}, all_at(kInts)}});
  });
  expect_error(Errc::invalid_argument, "\"a?\" must have a type and shape of the format; got F?",
               [&] {
                 write_safetensors(folder / "m", {}, {{"a\n", "F\x1b", {2}, all_at(kInts)}});
               });
  expect_error(Errc::invalid_argument, "must be UTF-8", [&] {
    write_safetensors(folder / "m", {{"a", "\xff"}}, {});
  });
  const auto half = [](std::uint64_t bytes, const SafetensorsTensor::Take& take) {
    take(kInts, bytes / 2);
  };
  expect_error(Errc::invalid_argument, "\"a\" must have 8 bytes; got 4", [&] {
    write_safetensors(folder / "m", {}, {{"a", "I32", {2}, half}});
  });
  expect_error(Errc::invalid_argument, "the header must fit into 8388608 bytes", [&] {
    write_safetensors(folder / "m", {{"a", std::string(8 << 20, 'a')}}, {});
  });
  EXPECT_EQ(folder.entries(), 0);
}

TEST(JsonTest, NamesWhoAndWhere) {
  EXPECT_EQ(parse_json("{\"a\": [1, {}]}", "config").at("a").size(), 2u);
  expect_error(Errc::bad_file, "config: must be valid JSON; at line 2, column",
               [] { parse_json("{\n\"a\" 1}", "config"); });
  expect_error(Errc::bad_file, "config: JSON must have each key once; got \"a\" twice",
               [] { parse_json("{\"a\":1,\"a\":1}", "config"); });
  // The same key in two objects is one in each.
  EXPECT_NO_THROW(parse_json("[{\"a\":{\"a\":1}},{\"a\":1}]", "config"));
}

}  // namespace
}  // namespace rheo::test
