// How librheo_cuda.so is found, and what is said where CUDA cannot be had.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/backends.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

/// RHEO_BACKEND_PATH while a test runs.
class BackendPath {
 public:
  explicit BackendPath(const std::string& path) { setenv("RHEO_BACKEND_PATH", path.c_str(), 1); }
  ~BackendPath() { unsetenv("RHEO_BACKEND_PATH"); }
};

// With RHEO_TEST_CUDA=1 the backend may be loaded already, and then nothing is looked for again.
class CudaBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    if (wants_cuda()) GTEST_SKIP() << "the CUDA backend is in use";
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string error_with(const std::string& path) const {
    const BackendPath set(path);
    try {
      Device::from_name("cuda");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::unsupported);
      return e.what();
    }
    return "no error";
  }

  const std::string folder_ = std::filesystem::canonical(testing::TempDir()).string() +
                              "/rheo_cuda_backend_" + std::to_string(getpid());
};

TEST_F(CudaBackendTest, ABuildWithoutItSaysSo) {
  try {
    Device::from_name("cuda");  // the folder of this test's program has none
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("cuda: this rheo was built without CUDA: there is no /"),
              0u)
        << e.what();
  }
}

TEST_F(CudaBackendTest, AFolderWithoutItIsNamed) {
  EXPECT_EQ(error_with(folder_), "cuda: RHEO_BACKEND_PATH must be the folder of librheo_cuda.so; " +
                                     ("there is no " + folder_) + "/librheo_cuda.so");
}

TEST_F(CudaBackendTest, AFileThatIsNoLibraryIsNamed) {
  std::ofstream(folder_ + "/librheo_cuda.so") << "no library";
  const std::string error = error_with(folder_);
  EXPECT_TRUE(error.starts_with("cuda: " + folder_ + "/librheo_cuda.so cannot be loaded: "))
      << error;
}

TEST_F(CudaBackendTest, TheWorkingDirectoryIsNeverLookedIn) {
  for (const char* path : {".", "lib"})
    EXPECT_EQ(error_with(path), "cuda: RHEO_BACKEND_PATH must be an absolute path; got \"" +
                                    std::string(path) + "\"");
}

TEST_F(CudaBackendTest, OneOfAnotherVersionIsRefused) {
  EXPECT_EQ(error_with(RHEO_OTHER_VERSION_DIR),
            "cuda: " RHEO_OTHER_VERSION_DIR "/librheo_cuda.so is not of this build of rheo " +
                std::string(version()) + "; install both from one build");
}

#ifdef RHEO_CUDA_DIR
TEST_F(CudaBackendTest, WithoutAGpuItSaysWhatIsMissing) {
  const std::string error = error_with(RHEO_CUDA_DIR);
  if (error == "no error") GTEST_SKIP() << "there is a GPU";
  EXPECT_TRUE(error.find("driver") != std::string::npos || error.find("GPU") != std::string::npos)
      << error;
  EXPECT_TRUE(error.ends_with("; use --device cpu")) << error;
  const BackendPath set(RHEO_CUDA_DIR);
  EXPECT_EQ(Device::from_name("auto").name(), "cpu");
}
#endif

TEST_F(CudaBackendTest, AutoIsTheCpuWhereThereIsNoOther) {
  const BackendPath set(folder_);
  EXPECT_EQ(Device::from_name("auto", 2).name(), "cpu");
  EXPECT_EQ(Device::from_name("auto", 2).threads(), 2);
}

TEST_F(CudaBackendTest, OrdinalsAreNumbers) {
  const auto bad = Errc::invalid_argument;
  for (const std::string name : {"cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999"})
    expect_error([&] { Device::from_name(name); }, bad,
                 "Device: must be auto, cpu, cuda or cuda:N; got " + name);
}

}  // namespace
}  // namespace rheo::test
