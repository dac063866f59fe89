#include "rheo/dataset.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rheo/npy.h"
#include "src/io/png.h"
#include "tests/support/files.h"
#include "tests/support/pictures.h"

namespace rheo::test {
namespace {

namespace fs = std::filesystem;

void write_picture(const TemporaryFolder& folder, const std::string& name, const Pixels& image) {
  folder.write(name, encode_png(image));
}

void expect_refused(const std::string& path, const std::string& part,
                    const DatasetOptions& options = {}) {
  expect_error(Errc::bad_file, part, [&] { Dataset::open(path, options); });
}

TEST(DatasetTest, KnowsItsShapeAndClasses) {
  const Dataset data({{2, 1, 3, 2}, Bytes(12)}, {4, 1});
  EXPECT_EQ(data.size(), 2);
  EXPECT_EQ(data.height(), 1);
  EXPECT_EQ(data.width(), 3);
  EXPECT_EQ(data.channels(), 2);
  EXPECT_EQ(data.classes(), 5);
  EXPECT_EQ(Dataset({{1, 1, 1, 1}, Bytes(1)}).classes(), 0);
}

TEST(DatasetTest, WrongArgumentsAreRefused) {
  const auto refuse = [](const std::string& part, Pixels images, Labels labels = {}) {
    expect_error(Errc::invalid_argument, part, [&] { Dataset(images, labels); });
  };
  refuse("images must be [N, H, W, C], C = 1 to 4, none 0; got [2, 3]", {{2, 3}, Bytes(6)});
  refuse("got [0, 1, 1, 1]", {{0, 1, 1, 1}, {}});
  refuse("got [1, 1, 1, 5]", {{1, 1, 1, 5}, Bytes(5)});
  refuse("pixels must fill the shape [1, 2, 2, 1]; got 3 bytes", {{1, 2, 2, 1}, Bytes(3)});
  refuse("labels must be one for each of 1 image; got 2", {{1, 1, 1, 1}, Bytes(1)}, {0, 0});
  refuse("labels must be at least 0; got -1", {{1, 1, 1, 1}, Bytes(1)}, {-1});
  refuse("labels must be below 2147483647", {{1, 1, 1, 1}, Bytes(1)}, {2147483647});
}

TEST(DatasetTest, ASliceKeepsTheClasses) {
  const Dataset data({{3, 1, 2, 1}, {1, 2, 3, 4, 5, 6}}, {0, 1, 2});
  const Dataset part = data.slice(1, 1);
  EXPECT_EQ(part.images().data, (Bytes{3, 4}));
  EXPECT_EQ(part.labels(), (Labels{1}));
  EXPECT_EQ(part.classes(), 3);
  for (const auto& range : {std::pair{-1, 1}, {0, 4}, {3, 1}, {0, 0}, {1, -1}}) {
    expect_error(Errc::invalid_argument, "Dataset::slice: must lie within 3 images; got",
                 [&] { data.slice(range.first, range.second); });
  }
}

TEST(DatasetTest, OneThatWasMovedFromIsEmpty) {
  Dataset data({{2, 1, 3, 2}, Bytes(12)}, {4, 1});
  const Dataset taken = std::move(data);
  EXPECT_EQ(taken.size(), 2);
  // NOLINTBEGIN(bugprone-use-after-move): what is left behind is the subject.
  EXPECT_EQ(data.size(), 0);
  EXPECT_EQ(data.height(), 0);
  EXPECT_EQ(data.width(), 0);
  EXPECT_EQ(data.channels(), 0);
  expect_error(Errc::invalid_argument, "must lie within 0 images", [&] { data.slice(0, 1); });
  EXPECT_NE(data.fingerprint(), taken.fingerprint());
  // NOLINTEND(bugprone-use-after-move)
}

TEST(DatasetTest, TheFingerprintTellsDataApart) {
  const auto print = [](Shape shape, Bytes data, Labels labels = {}) {
    return Dataset({std::move(shape), std::move(data)}, std::move(labels)).fingerprint();
  };
  const std::string plain = print({2, 1, 2, 1}, {1, 2, 3, 4});
  EXPECT_EQ(plain.substr(0, 8), "2x1x2x1-");
  EXPECT_EQ(plain.size(), 8u + 16u);
  EXPECT_EQ(plain, print({2, 1, 2, 1}, {1, 2, 3, 4}));
  EXPECT_NE(plain, print({2, 1, 2, 1}, {1, 2, 4, 3}));
  EXPECT_NE(plain, print({2, 1, 2, 1}, {1, 2, 3, 4}, {0, 0}));
  EXPECT_NE(print({2, 1, 2, 1}, {1, 2, 3, 4}, {0, 1}), print({2, 1, 2, 1}, {1, 2, 3, 4}, {1, 0}));
  EXPECT_NE(plain.substr(8), print({2, 2, 1, 1}, {1, 2, 3, 4}).substr(8));
}

TEST(FolderTest, IsSortedByBytesAndTheTopFolderIsTheClass) {
  const TemporaryFolder folder;
  write_picture(folder, "b/2.png", picture(2, 2, 3, 3));
  write_picture(folder, "b/10.png", picture(2, 2, 3, 2));
  write_picture(folder, "B/deep/er/x.PNG", picture(2, 2, 3, 0));
  write_picture(folder, "a-b/x.png", picture(2, 2, 3, 1));
  folder.write("b/notes.txt", bytes_of("no image"));
  folder.write("b/.hidden.png", bytes_of("no image"));
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"B", "a-b", "b"}));
  EXPECT_EQ(data.labels(), (Labels{0, 1, 2, 2}));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(data.slice(i, 1).images().data, picture(2, 2, 3, i).data) << i;
  }
}

TEST(FolderTest, ClassesAreSortedByNameEvenWherePathsSortOtherwise) {
  const TemporaryFolder folder;
  write_picture(folder, "a/x.png", picture(1, 1, 1));
  write_picture(folder, "a-b/x.png", picture(1, 1, 1));
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"a", "a-b"}));
  EXPECT_EQ(data.labels(), (Labels{1, 0})) << "a-b/x.png comes before a/x.png";
}

TEST(FolderTest, AFlatFolderHasNoLabels) {
  const TemporaryFolder folder;
  write_picture(folder, "1.png", picture(2, 3, 1));
  folder.write("2.jpeg", jpeg_of(picture(2, 3, 1)));
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.images().shape, (Shape{2, 2, 3, 1}));
  EXPECT_TRUE(data.labels().empty());
  EXPECT_EQ(data.classes(), 0);
}

TEST(FolderTest, GreyBecomesColourAmongColour) {
  const TemporaryFolder folder;
  write_picture(folder, "1.png", {{1, 1, 2, 1}, {7, 8}});
  write_picture(folder, "2.png", {{1, 1, 2, 3}, {1, 2, 3, 4, 5, 6}});
  write_picture(folder, "3.png", {{1, 1, 2, 1}, {9, 0}});
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.images().shape, (Shape{3, 1, 2, 3}));
  EXPECT_EQ(data.images().data, (Bytes{7, 7, 7, 8, 8, 8, 1, 2, 3, 4, 5, 6, 9, 9, 9, 0, 0, 0}));
}

TEST(FolderTest, TheBadImageIsNamed) {
  const TemporaryFolder folder;
  write_picture(folder, "1.png", picture(2, 2, 3));
  write_picture(folder, "2.png", picture(2, 3, 3));
  expect_refused(folder.path(), "/2.png: images must be 2x2; got 2x3: crop, pad or resize");
  write_picture(folder, "2.png", picture(2, 2, 4));
  expect_refused(folder.path(), "/2.png: images must have no alpha channel");
  folder.write("2.png", {});
  expect_refused(folder.path(), "/2.png: must be a PNG or JPEG file; it is empty");
  fs::remove(folder / "2.png");
  fs::create_symlink("nowhere", folder / "2.png");
  expect_refused(folder.path(), "/2.png: cannot be read: No such file or directory");
}

TEST(FolderTest, DoubtfulClassesAreRefused) {
  const TemporaryFolder folder;
  write_picture(folder, "a/1.png", picture(2, 2, 1));
  write_picture(folder, "b.png", picture(2, 2, 1));
  expect_refused(folder.path(),
                 "must lie all in sub-folders, their classes, or none of them; got b");
  fs::remove(folder / "b.png");
  fs::create_directory(folder / "empty");
  expect_refused(folder.path(), "is a class and must hold an image; got none in empty");
}

TEST(FolderTest, FoldersWithoutImagesAreRefused) {
  const TemporaryFolder folder;
  expect_refused(folder.path(), "must hold PNG or JPEG files, or data_batch_*.bin; got none");
  expect_refused(folder / "absent", "absent: cannot be read: No such file or directory");
}

TEST(FolderTest, LoopsOfLinksEnd) {
  const TemporaryFolder folder;
  write_picture(folder, "a/1.png", picture(2, 2, 1));
  fs::create_directory_symlink("..", folder / "a/up");
  fs::create_directory_symlink(".", folder / "a/self");
  EXPECT_EQ(Dataset::open(folder.path()).size(), 1);
}

TEST(FolderTest, ProgressReachesTheEnd) {
  const TemporaryFolder folder;
  write_picture(folder, "1.png", picture(2, 2, 1));
  write_picture(folder, "2.png", picture(2, 2, 1));
  std::vector<std::int64_t> done;
  Dataset::open(folder.path(), {}, [&](std::int64_t at, std::int64_t total) {
    EXPECT_EQ(total, 2);
    done.push_back(at);
  });
  EXPECT_EQ(done, (std::vector<std::int64_t>{0, 2}));
}

TEST(FolderTest, HostileNamesAreShownSafely) {
  const TemporaryFolder folder;
  write_picture(folder, "a/1.png", picture(2, 2, 1));
  fs::create_directory(folder / "b\x1b[2J\n");
  expect_refused(folder.path(), "got none in b?[2J?");
  fs::remove(folder / "b\x1b[2J\n");
  write_picture(folder, "\x1b.png", picture(2, 2, 1));
  expect_refused(folder.path(), "got ?.png beside sub-folders");
}

TEST(FolderTest, LabelsCanComeFromAFile) {
  const TemporaryFolder folder;
  write_picture(folder, "a/1.png", picture(2, 2, 1));
  write_picture(folder, "2.png", picture(2, 2, 1));
  DatasetOptions options;
  options.labels = folder / "labels.npy";
  write_npy(options.labels, Array<std::int64_t>{{2}, {3, 1}});
  EXPECT_EQ(Dataset::open(folder.path(), options).labels(), (Labels{3, 1}));
  options.labels = folder.write("labels.idx", {0, 0, 8, 1, 0, 0, 0, 2, 0, 2});
  EXPECT_EQ(Dataset::open(folder.path(), options).labels(), (Labels{0, 2}));
  EXPECT_EQ(Dataset::open(folder.path(), options).labels_file(), options.labels);
  write_npy(options.labels, Array<std::int64_t>{{1}, {3}});
  expect_refused(folder.path(), "labels.idx: must have a label for each of 2 images; got 1",
                 options);
}

Bytes fitted_to(const Pixels& image, Fit fit, int height, int width) {
  const TemporaryFolder folder;
  write_picture(folder, "1.png", image);
  DatasetOptions options;
  options.fit = fit;
  options.height = height;
  options.width = width;
  return Dataset::open(folder.path(), options).images().data;
}

TEST(FitTest, CropKeepsTheCentre) {
  EXPECT_EQ(fitted_to({{1, 3, 4, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}, Fit::crop, 1, 2),
            (Bytes{5, 6}));
}

TEST(FitTest, PadPutsBlackAround) {
  EXPECT_EQ(fitted_to({{1, 1, 2, 1}, {5, 6}}, Fit::pad, 3, 4),
            (Bytes{0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0}));
}

TEST(FitTest, SmallerIsTheMeanOfAnArea) {
  EXPECT_EQ(fitted_to({{1, 2, 4, 1}, {0, 10, 20, 30, 40, 50, 60, 70}}, Fit::resize, 1, 2),
            (Bytes{25, 45}));
  // Three to two: each target covers one and a half sources.
  EXPECT_EQ(fitted_to({{1, 1, 3, 1}, {30, 60, 90}}, Fit::resize, 1, 2), (Bytes{40, 80}));
}

TEST(FitTest, LargerIsLinearBetweenCentres) {
  EXPECT_EQ(fitted_to({{1, 1, 2, 1}, {0, 100}}, Fit::resize, 1, 4), (Bytes{0, 25, 75, 100}));
  EXPECT_EQ(fitted_to({{1, 1, 1, 3}, {1, 2, 3}}, Fit::resize, 2, 1), (Bytes{1, 2, 3, 1, 2, 3}));
}

TEST(FitTest, ConstantImagesStayConstant) {
  const Pixels grey{{1, 7, 5, 1}, Bytes(35, 255)};
  for (const int side : {1, 2, 3, 4, 6, 11, 32}) {
    EXPECT_EQ(fitted_to(grey, Fit::resize, side, side),
              Bytes(static_cast<std::size_t>(side * side), 255));
  }
}

TEST(FitTest, ImpossibleFitsAreRefused) {
  const auto refuse = [](Fit fit, int height, int width, const std::string& part) {
    expect_error(Errc::bad_file, part, [&] { fitted_to(picture(4, 4, 1), fit, height, width); });
  };
  refuse(Fit::refuse, 4, 2, "1.png: images must be 4x2; got 4x4: crop, pad or resize");
  refuse(Fit::crop, 2, 5, "images to crop must be at least 2x5; got 4x4");
  refuse(Fit::pad, 2, 5, "images to pad must be at most 2x5; got 4x4");
  const auto refuse_option = [](int height, int width, const std::string& part) {
    expect_error(Errc::invalid_argument, part,
                 [&] { fitted_to(picture(4, 4, 1), Fit::resize, height, width); });
  };
  refuse_option(-1, 4, "height and width must be at least 0; got -1x4");
  refuse_option(5000, 5000, "an image must have at most 16777216 pixels; got 5000x5000");
}

}  // namespace
}  // namespace rheo::test
