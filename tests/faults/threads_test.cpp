// What works on threads of its own, or on files beside others: compiled with ThreadSanitizer where
// it runs.

#include <gtest/gtest.h>

#include <thread>

#include "src/io/file.h"
#include "src/train/feed.h"
#include "tests/support/files.h"

namespace rheo::test {
namespace {

Dataset pictures() {
  Pixels images{{50, 4, 4, 3}, {}};
  for (int i = 0; i < 50 * 48; ++i) images.data.push_back(static_cast<std::uint8_t>(i * 7));
  return Dataset(std::move(images));
}

TrainOptions options(int threads) {
  return {.batch = 6, .flip = true, .shift = 1, .loader_threads = threads};
}

TEST(ThreadsTest, BatchesComeInOrderWhateverMakesThem) {
  const Dataset data = pictures();
  for (const int threads : {1, 3, 8}) {
    Loader loader(data, options(threads), 12);
    for (int i = 0; i < 60; ++i) {
      const Batch& batch = loader.next();
      const Batch want = make_batch(data, options(threads), 12 + i * 6, 6);
      ASSERT_EQ(batch.pixels, want.pixels);
      ASSERT_EQ(batch.samples, want.samples);
    }
  }
}

TEST(ThreadsTest, ALoaderMayGoAtAnyTime) {
  const Dataset data = pictures();
  for (int i = 0; i < 40; ++i) {
    Loader loader(data, options(1 + i % 5), 0);
    for (int k = 0; k < i % 7; ++k) loader.next();
  }
}

TEST(ThreadsTest, TwoFeedsAtOnce) {
  const Dataset data = pictures();
  const ModelConfig config{.height = 4, .width = 4, .channels = 3, .levels = 1};
  const auto work = [&](int threads) {
    const Queue queue(Device::cpu(1));
    Feed feed(queue, 6, config);
    for (int again = 0; again < 3; ++again) {
      feed.start(data, options(threads), 0);
      for (int i = 0; i < 20; ++i) {
        feed.take(), feed.fetch();
        const Batch want = make_batch(data, options(threads), i * 6, 6);
        EXPECT_EQ(want.pixels, Bytes(feed.pixels(), feed.pixels() + 6 * 48));
      }
      feed.stop();
    }
  };
  std::jthread first([&] { work(2); }), second([&] { work(4); });
}

/// Readers of one path see one writer's file or another's, never a mixture.
TEST(ThreadsTest, AFileIsWholeWhoeverWritesIt) {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  const auto write = [&](std::uint8_t value) {
    const Bytes bytes(3000 + value, value);
    for (int i = 0; i < 60; ++i) write_file(path, bytes.data(), bytes.size());
  };
  write(1);
  {
    std::jthread first([&] { write(1); }), second([&] { write(2); });
    for (int i = 0; i < 200; ++i) {
      const Bytes bytes = read_file(path);
      ASSERT_FALSE(bytes.empty());
      ASSERT_EQ(bytes, Bytes(3000 + bytes[0], bytes[0]));
    }
  }
  EXPECT_EQ(folder.entries(), 1);
}

}  // namespace
}  // namespace rheo::test
