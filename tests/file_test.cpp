#include "src/io/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/support/files.h"

namespace rheo::test {
namespace {

namespace fs = std::filesystem;

/// Bytes that tell where they were written.
Bytes numbered(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 256);
  return bytes;
}

TEST(FileTest, WhatIsWrittenComesBack) {
  const TemporaryFolder folder;
  const Bytes bytes = numbered(100'000);
  write_file(folder / "a", bytes.data(), bytes.size());
  write_file(folder / "empty", nullptr, 0);
  EXPECT_EQ(read_file(folder / "a"), bytes);
  EXPECT_EQ(read_file(folder / "empty"), Bytes());
  EXPECT_EQ(folder.entries(), 2);
}

TEST(FileTest, WritingReplacesTheOldFileOnlyOnCommit) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", bytes_of("old"));
  {
    AtomicFile file(path);
    file.write("half", 4);
    EXPECT_EQ(read_file(path), bytes_of("old"));
    EXPECT_EQ(folder.entries(), 2);
  }
  EXPECT_EQ(read_file(path), bytes_of("old"));
  EXPECT_EQ(folder.entries(), 1) << "the temporary file is removed";
  write_file(path, "new", 3);
  EXPECT_EQ(read_file(path), bytes_of("new"));
}

TEST(FileTest, TheTemporaryNameSaysWhoseItIs) {
  const TemporaryFolder folder;
  const AtomicFile first(folder / "a"), second(folder / "a");
  const std::string temporary = folder / "a.tmp-" + std::to_string(::getpid());
  EXPECT_TRUE(fs::exists(temporary));
  EXPECT_TRUE(fs::exists(temporary + "-1")) << "a second writer gets a file of its own";
}

TEST(FileTest, ALinkStaysALink) {
  const TemporaryFolder folder;
  const std::string path = folder.write("real", bytes_of("old"));
  fs::create_symlink("real", folder / "link");
  write_file(folder / "link", "new", 3);
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(path), bytes_of("new"));
}

TEST(FileTest, AMissingFileIsNamed) {
  expect_error(Errc::bad_file, "/no/such/file: cannot be read: No such file or directory",
               [] { read_file("/no/such/file"); });
}

TEST(FileTest, APathIsNotCutAtItsNul) {
  const TemporaryFolder folder;
  const std::string path = folder / std::string("a\0b", 3);
  folder.write("a", bytes_of("another file"));
  const auto refused = [&](const auto& act) {
    expect_error(Errc::invalid_argument, "a path must have no NUL; got " + folder / "a?b", act);
  };
  refused([&] { read_file(path); });
  refused([&] { write_file(path, "x", 1); });
  EXPECT_EQ(read_file(folder / "a"), bytes_of("another file"));
}

/// bad_file is of the path; a file that the system fails to open may be whole.
TEST(FileTest, WhatCannotBeOpenedIsThePathsFaultOrTheSystems) {
  const TemporaryFolder folder;
  fs::create_symlink("loop", folder / "loop");
  expect_error(Errc::bad_file, "Too many levels of symbolic links",
               [&] { read_file(folder / "loop"); });
  expect_error(Errc::bad_file, "Not a directory",
               [&] { read_file(folder.write("a", bytes_of("a")) + "/b"); });
  expect_error(Errc::bad_file, "File name too long",
               [&] { read_file(folder / std::string(5000, 'p')); });
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  expect_error(Errc::io, "/a: cannot be read: Too many open files",
               [&] { read_file(folder / "a"); });
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST(FileTest, OnlyRegularFilesAreRead) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(Errc::bad_file, "must be a regular file; it is a folder",
               [&] { read_file(folder.path()); });
  expect_error(Errc::bad_file, "must be a regular file; it is a device",
               [] { read_file("/dev/zero"); });
  expect_error(Errc::bad_file, "must be a regular file; it is a pipe", [&] { read_file(pipe); });
}

TEST(FileTest, AFileThatBecameShorterIsAnError) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("a", numbered(1000)));
  fs::resize_file(folder / "a", 600);
  Bytes bytes(1000);
  expect_error(Errc::io, "reading failed at byte 600 of 1000: the file has become shorter",
               [&] { file.read(0, bytes.data(), bytes.size()); });
}

TEST(FileTest, AFullDeviceIsAnErrorAndStaysADevice) {
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat("/dev/full", &before), 0);
  expect_error(Errc::io, "/dev/full: cannot be written: No space left on device",
               [] { write_file("/dev/full", "x", 1); });
  ASSERT_EQ(::stat("/dev/full", &after), 0);
  EXPECT_TRUE(S_ISCHR(after.st_mode));
  EXPECT_EQ(before.st_ino, after.st_ino);
  for (const auto& entry : fs::directory_iterator("/dev")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("full.tmp-"));
  }
}

TEST(FileTest, FoldersAndMissingFoldersCannotBeWritten) {
  const TemporaryFolder folder;
  expect_error(Errc::io, folder.path() + ": cannot be opened for writing: Is a directory",
               [&] { write_file(folder.path(), "x", 1); });
  expect_error(Errc::io, "/no/a: cannot be created: No such file or directory",
               [&] { write_file(folder / "no/a", "x", 1); });
  EXPECT_EQ(folder.entries(), 0);
}

/// The limit cuts a write short and makes the next one fail, as a disk does that fills up.
TEST(FileTest, AWriteCutShortLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", bytes_of("old"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Bytes bytes = numbered(5000);
  expect_error(Errc::io, path + ": cannot be written: File too large (after 1000 bytes)",
               [&] { write_file(path, bytes.data(), bytes.size()); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path), bytes_of("old"));
  EXPECT_EQ(folder.entries(), 1);
}

void on_alarm(int) {}

/// Through a pipe, which takes a piece at a time, while a timer interrupts every call.
TEST(FileTest, InterruptedAndPartialWritesGoOn) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const Bytes bytes = numbered(300'000);
  Bytes received;
  std::jthread reader([&] {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_BLOCK, &alarm, nullptr);  // so that the writer gets them all
    const int file = ::open(pipe.c_str(), O_RDONLY);
    Bytes piece(30'000);
    for (ssize_t got; (got = ::read(file, piece.data(), piece.size())) > 0;) {
      received.insert(received.end(), piece.begin(), piece.begin() + got);
      ::usleep(5000);  // some alarms find the pipe full and nothing written
    }
    ::close(file);
  });
  struct sigaction action {
  }, before{};
  action.sa_handler = on_alarm;  // and no SA_RESTART: calls return EINTR
  ::sigaction(SIGALRM, &action, &before);
  const itimerval often{{0, 1000}, {0, 1000}}, never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  EXPECT_NO_THROW(write_file(pipe, bytes.data(), bytes.size()));
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  reader.join();
  EXPECT_EQ(received, bytes);
}

}  // namespace
}  // namespace rheo::test
