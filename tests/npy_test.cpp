#include "rheo/npy.h"

#include <gtest/gtest.h>

#include <random>

#include "src/io/file.h"
#include "tests/support/files.h"

namespace rheo::test {
namespace {

/// A version 1 file with this dictionary and data.
Bytes file_of(const std::string& header, const Bytes& data, int version = 1) {
  Bytes bytes = bytes_of("\x93NUMPY");
  bytes.insert(bytes.end(), {static_cast<std::uint8_t>(version), 0});
  const std::size_t length = header.size();
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
    bytes.push_back(static_cast<std::uint8_t>(length >> 8 * i));
  }
  bytes.insert(bytes.end(), header.begin(), header.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

std::string dictionary(const std::string& descr, const std::string& shape,
                       const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

NpyArray read(const Bytes& bytes) {
  const TemporaryFolder folder;
  return read_npy(folder.write("x.npy", bytes));
}

void expect_refused(const Bytes& bytes, const std::string& part) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.npy", bytes);
  expect_error(Errc::bad_file, part, [&] { read_npy(path); });
  expect_error(Errc::bad_file, path + ": ", [&] { read_npy(path); });
}

template <class T>
void expect_round_trip(const Array<T>& array) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", array);
  const NpyArray back = read_npy(folder / "x.npy");
  ASSERT_TRUE(std::holds_alternative<Array<T>>(back));
  EXPECT_EQ(std::get<Array<T>>(back).shape, array.shape);
  EXPECT_EQ(std::get<Array<T>>(back).data, array.data);
}

TEST(NpyTest, WhatIsWrittenComesBack) {
  expect_round_trip<std::uint8_t>({{2, 2}, {1, 2, 3, 255}});
  expect_round_trip<std::int32_t>({{3}, {1, -2, 3}});
  expect_round_trip<std::int64_t>({{1, 1, 2}, {1LL << 40, -5}});
  expect_round_trip<float>({{2}, {1.5f, -0.f}});
  expect_round_trip<double>({{}, {0.1}});
  expect_round_trip<float>({{0, 3}, {}});
}

TEST(NpyTest, BytesAreThoseNumPyWrites) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Array<float>{{2, 1}, {0, 0}});
  // numpy.save of zeros((2, 1), 'f4'), whose data begin at a multiple of 64.
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  header.resize(128 - 10 - 1, ' ');
  EXPECT_EQ(read_file(folder / "x.npy"), file_of(header + "\n", Bytes(8)));
}

TEST(NpyTest, LaterVersionsAndOtherSpacingAreRead) {
  const std::string spaced = "{\"shape\":(2 , 1),\"descr\":\"|u1\",\"fortran_order\":False}   \n";
  for (const int version : {1, 2, 3}) {
    const NpyArray array = read(file_of(spaced, {4, 5}, version));
    EXPECT_EQ(std::get<Pixels>(array).shape, (Shape{2, 1})) << version;
    EXPECT_EQ(std::get<Pixels>(array).data, (Bytes{4, 5})) << version;
  }
}

TEST(NpyTest, OtherTypesAndOrdersAreRefused) {
  expect_refused(file_of(dictionary(">f4", "(1,)"), Bytes(4)), "little-endian; got \">f4\"");
  expect_refused(file_of(dictionary("<f2", "(2,)"), Bytes(4)), "float32 or float64; got float16");
  expect_refused(file_of(dictionary("|O", "(1,)"), Bytes(8)), "got \"|O\"");
  expect_refused(file_of(dictionary("|f4", "(1,)"), Bytes(4)), "got \"|f4\"");
  expect_refused(
      file_of(dictionary("<f4", "(1,)", "True"), Bytes(4)),
      "must be in C order; got fortran_order True; save what numpy.ascontiguousarray makes "
      "of it");
  expect_refused(file_of("{'descr': [('a', '<f4')], 'shape': (1,), 'fortran_order': False}", {}),
                 "must be of one number type, not of records");
  expect_refused(file_of(dictionary("<i2", "(1,)"), Bytes(2)),
                 "must be uint8, int32, int64, float32 or float64; got int16");
}

TEST(NpyTest, MalformedHeadersAreRefused) {
  const auto refuse = [](const std::string& header, const std::string& part) {
    expect_refused(file_of(header + "  ", Bytes(8)), part);
  };
  refuse("", "must have '{' before \"\"");
  refuse("{'descr': '<f4', ", "must have a string before \"\"");
  refuse("{'descr': '<f4}", "must have a string");
  refuse("{'descr': ''}", "a string of some length");
  refuse("{'descr' '<f4'}", "must have ':' before \"'<f4'}");
  refuse("{'descr': '<f4' 'shape': (2,)}", "must have ',' or '}' before");
  refuse(dictionary("<f4", "(2"), "must have a dimension up to 2^63 - 1 before \"}");
  refuse(dictionary("<f4", "[2]"), "must have '(' before \"[2]");
  refuse(dictionary("<f4", "(-2,)"), "must have a dimension up to 2^63 - 1 before \"-2");
  refuse(dictionary("<f4", "(9223372036854775808,)"), "must have a dimension up to 2^63 - 1");
  refuse(dictionary("<f4", "(2.0,)"), "must have ',' or ')' before \".0");
  refuse(dictionary("<f4", "(2,)") + "x", "must have its end before \"x");
  refuse("{'descr': '<f4', 'shape': (2,)}", "must have descr, fortran_order and shape");
  refuse("{'descr': '<f4', 'descr': '<f4'}", "must have each key once; got descr twice");
  refuse("{'evil': '<f4'}", "must have no key but descr, fortran_order, shape; got \"evil\"");
  std::string dims;
  for (int i = 0; i < 33; ++i) dims += "1,";
  refuse(dictionary("<f8", "(" + dims + ")"), "must have at most 32 dimensions");
}

TEST(NpyTest, LengthsAreCheckedAgainstTheFile) {
  expect_refused({}, "at least 12 bytes; got 0");
  expect_refused(Bytes(12, 'x'), "must be an npy file; it does not begin as one");
  expect_refused(file_of(dictionary("<f4", "(1,)"), Bytes(4), 9), "version must be 1 to 3; got 9");
  Bytes long_header = file_of("", {}, 2);
  long_header[10] = 0x40;  // a header of 4 MiB in 12 bytes
  expect_refused(long_header, "header must have at most 65536 bytes; got length 4194304");
  Bytes missing = file_of("{}", {});
  missing[8] = 3;
  expect_refused(missing, "header says 3 bytes, the file has 2");
  expect_refused(file_of(dictionary("<f4", "(3,)"), Bytes(8)),
                 "shape [3] needs 12 bytes of data, the file has 8");
  expect_refused(file_of(dictionary("<f4", "(1,)"), Bytes(8)), "needs 4 bytes of data, the file");
  expect_refused(file_of(dictionary("<f4", "(4611686018427387904,)"), Bytes(8)),
                 "must not overflow 64 bits");
  expect_refused(file_of(dictionary("<f4", "(4294967296,4294967296,0)"), Bytes(8)),
                 "must not overflow 64 bits");
  expect_refused(file_of(dictionary("<f4", "(1000000000000,)"), Bytes(8)),
                 "needs 4000000000000 bytes of data, the file has 8");
}

TEST(NpyTest, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Array<float>{{3}, {1, 2, 3}});
  const Bytes whole = read_file(folder / "x.npy");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write(
        "cut.npy", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    EXPECT_TRUE(refuses([&] { read_npy(path); })) << length;
  }
}

TEST(NpyTest, FlippedBitsNeverCrash) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Array<std::int32_t>{{3}, {1, 2, 3}});
  const Bytes whole = read_file(folder / "x.npy");
  std::mt19937 random(2);
  int refused = 0;
  for (int trial = 0; trial < 500; ++trial) {
    Bytes damaged = whole;
    damaged[random() % 80] ^= static_cast<std::uint8_t>(1u << random() % 8);
    const std::string path = folder.write("damaged.npy", damaged);
    refused += refuses([&] { read_npy(path); });
  }
  EXPECT_GT(refused, 250) << "80 bytes hold the magic and the dictionary";
}

TEST(NpyTest, AFailedWriteIsAnError) {
  const TemporaryFolder folder;
  expect_error(Errc::io, "/dev/full: cannot be written", [] {
    write_npy("/dev/full", Array<float>{{1}, {1}});
  });
  expect_error(Errc::io, "x.npy: cannot be created: No such file or directory", [] {
    write_npy("/no/such/folder/x.npy", Array<float>{{1}, {1}});
  });
  expect_error(Errc::invalid_argument, "data must fill the shape [2]; got 1 values", [&] {
    write_npy(folder / "x.npy", Array<float>{{2}, {1}});
  });
  EXPECT_EQ(folder.entries(), 0);
}

TEST(NpyTest, LabelsComeFromAnyIntegerType) {
  const TemporaryFolder folder;
  const std::string path = folder / "y.npy";
  write_npy(path, Array<std::uint8_t>{{3}, {0, 2, 1}});
  EXPECT_EQ(read_labels(path), (Labels{0, 2, 1}));
  write_npy(path, Array<std::int64_t>{{2, 1}, {5, 2147483646}});
  EXPECT_EQ(read_labels(path), (Labels{5, 2147483646}));
  const auto labels = [&](const std::string& descr, const Bytes& data) {
    return read_labels(folder.write("x.npy", file_of(dictionary(descr, "(2,)"), data)), 2);
  };
  const Labels expected{1, 0};
  EXPECT_EQ(labels("|b1", {1, 0}), expected);
  EXPECT_EQ(labels("|i1", {1, 0}), expected);
  EXPECT_EQ(labels("<i2", {1, 0, 0, 0}), expected);
  EXPECT_EQ(labels("<u2", {1, 0, 0, 0}), expected);
  EXPECT_EQ(labels("<u4", {1, 0, 0, 0, 0, 0, 0, 0}), expected);
  EXPECT_EQ(labels("<u8", {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), expected);
}

TEST(NpyTest, LabelsComeFromIdxToo) {
  const TemporaryFolder folder;
  const std::string path = folder.write("y", {0, 0, 8, 1, 0, 0, 0, 3, 0, 2, 1});
  EXPECT_EQ(read_labels(path, 3, 3), (Labels{0, 2, 1}));
  expect_error(Errc::bad_file, path + ": labels must be from 0 to 1; got 2 for image 1",
               [&] { read_labels(path, 3, 2); });
  expect_error(Errc::bad_file, "must have a label for each of 1 image; got 3",
               [&] { read_labels(path, 1); });
  const std::string images = folder.write("x", {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7});
  expect_error(Errc::bad_file, images + ": labels must be [N]; got [1, 1]",
               [&] { read_labels(images); });
}

TEST(NpyTest, LabelsOfMoreThanAPiece) {
  const TemporaryFolder folder;
  const std::string path = folder / "y.npy";
  constexpr int kCount = (1 << 17) + 2;
  Array<std::int32_t> labels{{kCount}, {}};
  for (int i = 0; i < kCount; ++i) labels.data.push_back(i);
  write_npy(path, labels);
  EXPECT_EQ(read_labels(path, kCount, kCount), labels.data);
  labels.data.back() = -5;
  write_npy(path, labels);
  expect_error(Errc::bad_file, "got -5 for image 131073", [&] { read_labels(path); });
}

TEST(NpyTest, WrongLabelsAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "y.npy";
  const auto refuse = [&](const NpyArray& labels, const std::string& part) {
    write_npy(path, labels);
    expect_error(Errc::bad_file, path + ": labels must be " + part, [&] { read_labels(path); });
  };
  refuse(Array<float>{{1}, {1}}, "integers; got float32");
  refuse(Array<std::int32_t>{{2}, {0, -1}}, "from 0 to 2147483646; got -1 for image 1");
  refuse(Array<std::int64_t>{{1}, {2147483647}},
         "from 0 to 2147483646; got 2147483647 for image 0");
  refuse(Array<std::int32_t>{{1, 2}, {0, 1}}, "[N] or [N, 1]; got [1, 2]");
  refuse(Array<std::int32_t>{{}, {0}}, "[N] or [N, 1]; got []");
  write_npy(path, Array<std::uint8_t>{{2}, {0, 3}});
  expect_error(Errc::bad_file, "must have a label for each of 3 images; got 2",
               [&] { read_labels(path, 3); });
  expect_error(Errc::bad_file, "must be from 0 to 2; got 3 for image 1",
               [&] { read_labels(path, 2, 3); });
  expect_error(Errc::invalid_argument, "classes must be at least 1; got 0",
               [&] { read_labels(path, 2, 0); });
  expect_error(Errc::invalid_argument, "count must be at least 0; got -1",
               [&] { read_labels(path, -1); });
  const std::string wide =
      folder.write("w.npy", file_of(dictionary("<u8", "(1,)"), Bytes(8, 0xff)));
  expect_error(Errc::bad_file, "to 2147483646; got 18446744073709551615 for image 0",
               [&] { read_labels(wide); });
}

}  // namespace
}  // namespace rheo::test
