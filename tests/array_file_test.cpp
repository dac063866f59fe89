#include "rheo/dataset.h"

#include <gtest/gtest.h>

#include <zlib.h>

#include <filesystem>
#include <random>

#include "rheo/npy.h"
#include "tests/support/files.h"
#include "tests/support/pictures.h"

namespace rheo::test {
namespace {

void expect_refused(const std::string& path, const std::string& part,
                    const DatasetOptions& options = {}) {
  expect_error(Errc::bad_file, part, [&] { Dataset::open(path, options); });
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes packed(deflateBound(&stream, bytes.size()) + 64);
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  const auto size = static_cast<std::ptrdiff_t>(stream.total_out);
  deflateEnd(&stream);
  return Bytes(packed.begin(), packed.begin() + size);
}

Bytes idx(const Shape& shape, const Bytes& data) {
  Bytes bytes{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  for (const std::int64_t dim : shape) append_number(bytes, static_cast<std::uint64_t>(dim));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

/// A record whose red, green and blue planes begin with 1, 2 and 3.
Bytes cifar_record(std::uint8_t label) {
  Bytes record(3073, label);
  for (std::size_t c = 0; c < 3; ++c) record[1 + 1024 * c] = static_cast<std::uint8_t>(c + 1);
  return record;
}

Bytes joined(const Bytes& a, const Bytes& b) {
  Bytes both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

TEST(CifarTest, PlanesBecomePixels) {
  const TemporaryFolder folder;
  const std::string path = folder.write("test_batch.bin", joined(cifar_record(9), cifar_record(0)));
  const Dataset data = Dataset::open(path);
  EXPECT_EQ(data.images().shape, (Shape{2, 32, 32, 3}));
  EXPECT_EQ(data.labels(), (Labels{9, 0}));
  EXPECT_EQ(data.class_names().at(9), "truck");
  const Bytes& pixels = data.images().data;
  EXPECT_EQ(Bytes(pixels.begin(), pixels.begin() + 4), (Bytes{1, 2, 3, 9}));
}

TEST(CifarTest, AFolderIsItsTrainingBatchesInOrder) {
  const TemporaryFolder folder;
  folder.write("data_batch_2.bin", cifar_record(2));
  folder.write("data_batch_1.bin", cifar_record(1));
  folder.write("test_batch.bin", cifar_record(3));
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.labels(), (Labels{1, 2}));
  EXPECT_EQ(data.classes(), 10) << "all ten, also those that no image has";
}

TEST(CifarTest, DamageIsRefused) {
  const TemporaryFolder folder;
  Bytes record = cifar_record(1);
  expect_refused(folder.write("a.bin", {}), "must be whole records of 3073 bytes; got 0");
  record.pop_back();
  expect_refused(folder.write("a.bin", record), "must be whole records of 3073 bytes; got 3072");
  expect_refused(folder.write("a.bin", joined(cifar_record(1), cifar_record(10))),
                 "labels must be 0 to 9; got 10 in record 1");
}

const Bytes kSix{1, 2, 3, 4, 5, 6};

TEST(IdxTest, PlainAndGzippedAreTheSame) {
  const TemporaryFolder folder;
  for (const bool packed : {false, true}) {
    const Bytes file = idx({3, 1, 2}, kSix);
    const Dataset data = Dataset::open(folder.write("x", packed ? gzip(file) : file));
    EXPECT_EQ(data.images().shape, (Shape{3, 1, 2, 1}));
    EXPECT_EQ(data.images().data, kSix);
    EXPECT_TRUE(data.labels().empty());
  }
}

TEST(IdxTest, LabelsBesideTheImagesAreFound) {
  const TemporaryFolder folder;
  const Bytes images = idx({3, 1, 2}, kSix), labels = idx({3}, {2, 0, 1});
  const std::string beside = folder.write("t-labels-idx1-ubyte.gz", gzip(labels));
  EXPECT_EQ(Dataset::open(folder.write("t-images-idx3-ubyte.gz", gzip(images))).labels(),
            (Labels{2, 0, 1}));
  const Dataset plain = Dataset::open(folder.write("t-images-idx3-ubyte", images));
  EXPECT_EQ(plain.labels(), (Labels{2, 0, 1}));
  EXPECT_EQ(plain.labels_file(), beside);
  EXPECT_EQ(plain.slice(1, 1).labels_file(), beside);
  folder.write("u-labels.idx1-ubyte", labels);
  EXPECT_EQ(Dataset::open(folder.write("u-images.idx3-ubyte.gz", gzip(images))).classes(), 3);
  folder.write("t-labels-idx1-ubyte.gz", gzip(idx({2}, {0, 1})));
  expect_refused(folder / "t-images-idx3-ubyte.gz",
                 "t-labels-idx1-ubyte.gz: must have a label for each of 3 images; got 2");
}

TEST(IdxTest, MalformedHeadersAreRefused) {
  const TemporaryFolder folder;
  const auto refuse = [&](const Bytes& bytes, const std::string& part) {
    expect_refused(folder.write("x", bytes), part);
    expect_refused(folder.write("x", gzip(bytes)), part);
  };
  refuse({0, 0, 8}, "an IDX file must have at least 4 bytes; got 3");
  refuse({0, 0, 13, 3}, "its IDX type must be 8 (unsigned byte); got 13");
  refuse({0, 0, 8, 0}, "its IDX dimensions must be 1 to 4; got 0");
  refuse({0, 0, 8, 255}, "its IDX dimensions must be 1 to 4; got 255");
  refuse({0, 0, 8, 3, 0, 0, 0, 1, 0, 0}, "its IDX header must be whole; it ends in dimension 1");
  refuse(idx({0, 2, 2}, {}),
         "images must be [N, H, W] or [N, H, W, C], C = 1 to 4, none 0; got [0");
  refuse(idx({6}, kSix), "none 0; got [6]");
  expect_refused(folder.write("x", gzip(bytes_of("something else"))),
                 "must be an IDX file, which begins with two zero bytes; got 115, 111");
}

TEST(IdxTest, LengthsAreCheckedBothWays) {
  const TemporaryFolder folder;
  const auto refuse = [&](const Bytes& bytes, const std::string& part) {
    expect_refused(folder.write("x", bytes), part);
  };
  refuse(gzip(idx({4, 1, 2}, kSix)), "its IDX header says [4, 1, 2], 8 bytes; got only 6");
  refuse(idx({4, 1, 2}, kSix), "its IDX header says [4, 1, 2], 8 bytes; got only 6");
  refuse(gzip(idx({2, 1, 2}, kSix)), "its IDX header says [2, 1, 2], 4 bytes; there are more");
  refuse(idx({2, 1, 2}, kSix), "its IDX header says [2, 1, 2], 4 bytes; there are more");
  refuse(gzip(idx({2, 1, 2}, Bytes(1'000'000))), "4 bytes; there are more");
  const Shape huge{4294967295, 4294967295, 4294967295};
  const Shape large{1'000'000, 1000, 1000};
  refuse(gzip(idx(large, kSix)), "says [1000000, 1000, 1000] bytes, more than the file can hold");
  refuse(idx(large, kSix), "more than the file can hold");
  refuse(gzip(idx(huge, kSix)), "more than the file can hold");
  refuse(idx(huge, kSix), "more than the file can hold");
}

TEST(IdxTest, DamagedGzipIsRefused) {
  const TemporaryFolder folder;
  const Bytes whole = gzip(idx({100, 10, 1}, Bytes(1000, 7)));
  for (std::size_t length = 2; length < whole.size(); ++length) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const std::string path = folder.write("x", cut);
    expect_refused(path, "gzip data must be whole; they end after " + std::to_string(length));
  }
  Bytes checksum = whole;
  checksum[checksum.size() - 8] ^= 1;
  expect_refused(folder.write("x", checksum), "gzip data are damaged: incorrect data check");
  expect_refused(folder.write("x", joined(whole, {1, 2, 3})), "gzip data");
  EXPECT_EQ(Dataset::open(folder.write("x", whole)).size(), 100);
}

TEST(IdxTest, LargeAndPackedIsFoundWholeFirst) {
  const TemporaryFolder folder;
  const std::int64_t side = 1 << 12, count = 3;  // 48 MiB in 48 KiB
  Bytes data(static_cast<std::size_t>(count * side * side));
  data.back() = 7;
  EXPECT_EQ(Dataset::open(folder.write("x", gzip(idx({count, side, side}, data)))).images().data,
            data);
  data.pop_back();
  expect_refused(folder.write("x", gzip(idx({count, side, side}, data))), "got only 50331647");
}

TEST(IdxTest, LabelsAreToldByTheirPlaceHoweverManyThereAre) {
  const TemporaryFolder folder;
  const auto refuse = [&](std::size_t count, std::size_t at) {
    Bytes labels(count);
    labels[at] = 10;
    const std::string path =
        folder.write("x", gzip(idx({static_cast<std::int64_t>(count)}, labels)));
    expect_error(Errc::bad_file,
                 "labels must be from 0 to 9; got 10 for image " + std::to_string(at),
                 [&] { read_labels(path, {}, 10); });
    EXPECT_EQ(read_labels(path, {}, 11).at(at), 10);
  };
  refuse(5, 3);
  refuse(40 << 20, (35 << 20) + 1);  // more than is unpacked at once, or before it is looked at
}

TEST(IdxTest, AHeaderTakesNoMemory) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", gzip(idx({1 << 30, 128, 1}, {})));
  // A file of holes, long enough for gzip to hold the 128 GiB that its header asks for.
  std::filesystem::resize_file(path, 136 << 20);
  expect_refused(path, "gzip data are damaged");
}

TEST(IdxTest, FlippedBitsNeverCrash) {
  const TemporaryFolder folder;
  Bytes pixels(1000);
  std::mt19937 random(6);
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random() % 16);
  const Bytes whole = gzip(idx({100, 10, 1}, pixels));
  int refused = 0;
  for (int trial = 0; trial < 300; ++trial) {
    Bytes damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    const std::string path = folder.write("x", damaged);
    refused += refuses([&] { Dataset::open(path); });
  }
  EXPECT_GT(refused, 280) << "only name, time and system of the gzip header go unchecked";
}

TEST(ArrayFileTest, NpyImagesMayLackTheirChannel) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Pixels{{3, 1, 2}, kSix});
  EXPECT_EQ(Dataset::open(folder / "x.npy").images().shape, (Shape{3, 1, 2, 1}));
  write_npy(folder / "x.npy", Pixels{{1, 1, 2, 3}, kSix});
  EXPECT_EQ(Dataset::open(folder / "x.npy").images().shape, (Shape{1, 1, 2, 3}));
}

TEST(ArrayFileTest, ArraysAreFittedToo) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Pixels{{3, 1, 2}, kSix});
  DatasetOptions options;
  options.height = 2;
  expect_refused(folder / "x.npy", "x.npy: images must be 2x2; got 1x2", options);
  options.fit = Fit::resize;
  EXPECT_EQ(Dataset::open(folder / "x.npy", options).images().data,
            (Bytes{1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6}));
}

TEST(ArrayFileTest, OtherArraysAndFilesAreRefused) {
  const TemporaryFolder folder;
  write_npy(folder / "x.npy", Array<float>{{1, 1, 1, 1}, {0}});
  expect_refused(folder / "x.npy",
                 "x.npy: must hold images, uint8 [N, H, W] or [N, H, W, C], or points, float32 or "
                 "float64 [N, D]");
  write_npy(folder / "x.npy", Pixels{{2, 3}, kSix});
  expect_refused(folder / "x.npy", "images must be [N, H, W] or [N, H, W, C]");
  write_npy(folder / "x.npy", Pixels{{1, 1, 1, 6}, kSix});
  expect_refused(folder / "x.npy", "C = 1 to 4, none 0; got [1, 1, 1, 6]");
  expect_refused(folder.write("x", bytes_of("text")), "x: must be a folder of images, a CIFAR-10");
  expect_refused(folder.write("x", {}), "x: must be a folder of images, a CIFAR-10");
  expect_refused("/dev/null", "/dev/null: must be a regular file; it is a device");
}

}  // namespace
}  // namespace rheo::test
