#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>

#include "rheo/rheo.h"
#include "src/io/file.h"
#include "src/io/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

namespace fs = std::filesystem;

ModelConfig tiny() {
  ModelConfig config = ModelConfig::of_vectors(Family::realnvp, 2);
  config.steps = 2, config.hidden = 4;
  return config;
}

const ModelConfig kConfig = tiny();

Dataset points() {
  Tensor x{{64, 2}, {}};
  for (int i = 0; i < 128; ++i) x.data.push_back(0.01f * static_cast<float>(i * i % 97) - 0.5f);
  return Dataset(std::move(x));
}

/// A trainer after so many updates, saved into `folder`.
class VerifyTest : public testing::Test {
 protected:
  void save(const std::string& name, int updates) {
    fs::create_directories(folder_ / name);
    Trainer trainer(Model(kConfig, 1, f32()), data_,
                    {.steps = 9, .batch = 8, .average = 0.5, .init_images = 16});
    for (int i = 0; i < updates; ++i) trainer.step();
    trainer.save(folder_ / name);
  }

  std::string model(const std::string& name) const {
    return folder_ / (name + "/model.safetensors");
  }
  std::string state(const std::string& name) const {
    return folder_ / (name + "/state.safetensors");
  }

  const Dataset data_ = points();
  const TemporaryFolder folder_;
};

/// The same file with other metadata and a hash that is right for it, or none.
void rewrite(const std::string& path, const std::string& key, const std::string& value,
             bool with_hash = true) {
  SafetensorsFile file = read_safetensors(path);
  file.metadata[key] = value;
  std::vector<SafetensorsTensor> tensors;
  for (const SafetensorsEntry& entry : file.entries)
    tensors.push_back(
        {entry.name, entry.dtype, entry.shape, all_at(file.data.data() + entry.begin)});
  write_safetensors(path, file.metadata, tensors);
  if (with_hash) return;
  // As long a key that nobody knows.
  Bytes bytes = read_file(path);
  const std::string word = kContentHash;
  const auto at = std::search(bytes.begin(), bytes.end(), word.begin(), word.end());
  std::copy_n("unknown_", word.size(), at);
  write_file(path, bytes.data(), bytes.size());
}

TEST_F(VerifyTest, ACheckpointCarriesWhatItIs) {
  save("a", 3);
  const CheckpointInfo info = inspect_checkpoint(model("a"));
  EXPECT_EQ(info.metadata.at("rheo"), version());
  EXPECT_EQ(info.metadata.at("data"), data_.fingerprint());
  EXPECT_EQ(info.metadata.at(kContentHash).size(), 32u);
  EXPECT_EQ(info.bytes, static_cast<std::int64_t>(fs::file_size(model("a"))));
  const StateInfo stored = inspect_state(state("a"), &info);
  EXPECT_EQ(stored.step, 3);
  EXPECT_EQ(stored.config.to_json(), kConfig.to_json());
  EXPECT_EQ(stored.metadata.at("model"), info.metadata.at(kContentHash));
  EXPECT_EQ(stored.metadata.at("data"), data_.fingerprint());
  EXPECT_EQ(stored.metadata.at("rheo"), version());
}

TEST_F(VerifyTest, EveryFlippedBitIsSeen) {
  save("a", 2);
  const std::string at = folder_ / "flipped";
  for (const std::string& path : {model("a"), state("a")}) {
    const Bytes whole = read_file(path);
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      Bytes flipped = whole;
      flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      folder_.write("flipped", flipped);
      const bool seen = refuses([&] {
        if (path == model("a"))
          inspect_checkpoint(at);
        else
          inspect_state(at);
      });
      ASSERT_TRUE(seen) << path << ", bit " << bit;
    }
  }
}

TEST_F(VerifyTest, EveryTruncationIsSeen) {
  save("a", 1);
  const Bytes whole = read_file(state("a"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    folder_.write("cut", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_TRUE(refuses([&] { inspect_state(folder_ / "cut"); })) << size;
  }
}

TEST_F(VerifyTest, FilesOfTwoCheckpointsAreNotTakenForOne) {
  save("a", 2);
  save("b", 3);
  fs::copy_file(model("b"), model("a"), fs::copy_options::overwrite_existing);
  const CheckpointInfo other = inspect_checkpoint(model("a"));
  const std::string part = state("a") + ": was saved with the model file of hash ";
  expect_error(Errc::bad_file, part, [&] { inspect_state(state("a"), &other); });
  expect_error(Errc::bad_file, part, [&] { Trainer::resume(folder_ / "a", data_); });
  EXPECT_NO_THROW(Trainer::resume(folder_ / "b", data_));
}

TEST_F(VerifyTest, AFileOfANewerVersionIsRefusedByName) {
  save("a", 1);
  rewrite(model("a"), "version", "2");
  rewrite(state("a"), "version", "12");
  rewrite(model("a"), "rheo", "3.1.0");
  const std::string mine = std::string("rheo ") + version() + " reads version 1: use a newer rheo";
  expect_error(Errc::newer_file,
               model("a") + ": is of format version 2, written by rheo 3.1.0; " + mine,
               [&] { Model::load(model("a")); });
  expect_error(Errc::newer_file, "is of format version 12, written by rheo",
               [&] { inspect_state(state("a")); });
  for (const char* word : {"0", "", "x", "1 ", "99999999999999999999"}) {
    rewrite(model("a"), "version", word);
    expect_error(Errc::bad_file, "format version must be 1; got ",
                 [&] { Model::load(model("a")); });
  }
}

TEST_F(VerifyTest, AFileOfOthersNeedsNoHashButOursDoes) {
  save("a", 1);
  save("b", 1);
  rewrite(model("a"), "made_with", "scissors", false);
  expect_error(Errc::bad_file, "its content hash xxh3_128 is missing",
               [&] { inspect_checkpoint(model("a")); });
  rewrite(state("a"), "made_with", "scissors", false);
  expect_error(Errc::bad_file, "its content hash xxh3_128 is missing",
               [&] { inspect_state(state("a")); });
  // Without the key that only writers of hashes give a file, as a converter would make it.
  Bytes bytes = read_file(model("b"));
  const auto blank = [&](const std::string& key) {
    const std::string word = "\"" + key + "\":\"";
    std::copy_n("other", key.size() < 5 ? key.size() : 5,
                std::search(bytes.begin(), bytes.end(), word.begin(), word.end()) + 1);
  };
  blank(kContentHash);
  blank("rheo");
  folder_.write("foreign", bytes);
  EXPECT_EQ(inspect_checkpoint(folder_ / "foreign").parameters,
            inspect_checkpoint(model("b")).parameters);
}

TEST_F(VerifyTest, AHashThatIsNotOneIsRefused) {
  save("a", 1);
  for (const char* word : {"", "xyz", "0000000000000000000000000000000g"}) {
    Bytes bytes = read_file(model("a"));
    const std::string text(bytes.begin(), bytes.end());
    const std::size_t at = text.find("\"xxh3_128\":\"") + 12;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 32, ' ');
    std::copy_n(word, std::strlen(word), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    folder_.write("b", bytes);
    expect_error(Errc::bad_file, "its contents have the hash ",
                 [&] { inspect_checkpoint(folder_ / "b"); });
  }
}

TEST_F(VerifyTest, AStateThatDoesNotFitItselfIsRefused) {
  save("a", 1);
  const auto refuse = [&](const char* key, const char* value, const std::string& part) {
    fs::copy_file(state("a"), folder_ / "b", fs::copy_options::overwrite_existing);
    rewrite(folder_ / "b", key, value);
    expect_error(Errc::bad_file, part, [&] { inspect_state(folder_ / "b"); });
  };
  refuse("format", "rheo", "metadata format must be rheo-state; got rheo");
  refuse("steps", "-1", "metadata steps must be a whole number; got -1");
  refuse("rollbacks", "1001", "metadata rollbacks must be at most 1000; got 1001");
  refuse("train", "{}x", "b: ");
  refuse("config", "{}", "b: ");
  expect_error(Errc::bad_file, "metadata format must be rheo; got rheo-state",
               [&] { inspect_checkpoint(state("a")); });
}

TEST_F(VerifyTest, AFolderWithoutANameIsNotTheRoot) {
  Trainer trainer(Model(kConfig, 1, f32()), data_, {.batch = 8, .init_images = 16});
  const std::string part = "folder must have a name";
  expect_error(Errc::invalid_argument, part, [&] { trainer.save(""); });
  expect_error(Errc::invalid_argument, part, [&] { trainer.roll_back(""); });
  expect_error(Errc::invalid_argument, part, [&] { Trainer::resume("", data_); });
}

TEST_F(VerifyTest, AFileThatIsCutUnderItsReaderIsAnError) {
  save("a", 1);
  const InputFile file(model("a"));
  std::vector<std::uint8_t> bytes(file.size());
  fs::resize_file(model("a"), 100);
  expect_error(Errc::io, "reading failed at byte 100 of ",
               [&] { file.read(0, bytes.data(), bytes.size()); });
  expect_error(Errc::io, "the file has become shorter", [&] { file.read_rest(50); });
}

TEST_F(VerifyTest, ALinkThatIsMovedIsFollowedAnew) {
  save("a", 1);
  save("b", 2);
  fs::create_directory_symlink("a", folder_ / "last");
  fs::remove_all(folder_ / "a");
  expect_error(Errc::bad_file, "last/model.safetensors: cannot be read: No such file",
               [&] { Model::load(folder_ / "last/model.safetensors"); });
  fs::remove(folder_ / "last");
  fs::create_directory_symlink("b", folder_ / "last");
  EXPECT_EQ(Trainer::resume(folder_ / "last", data_).steps_done(), 2);
}

}  // namespace
}  // namespace rheo::test
