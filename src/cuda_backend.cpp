#include "src/cuda_backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>

#include "rheo/version.h"
#include "src/check.h"

namespace rheo {
namespace {

constexpr const char* kFile = "librheo_cuda.so";

/// Where the code of this function lies: beside librheo.so, or the program it is part of.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr)
    return {};
  std::error_code failed;
  const auto file = std::filesystem::canonical(info.dli_fname, failed);
  return failed ? std::filesystem::path() : file.parent_path();
}

/// Always absolute: what lies in the working directory is nobody's to trust.
std::filesystem::path plugin_file() {
  const char* set = std::getenv("RHEO_BACKEND_PATH");
  const std::filesystem::path folder = set && *set ? std::filesystem::path(set) : own_folder();
  if (folder.empty())
    fail(Errc::unsupported, "cuda: set RHEO_BACKEND_PATH to the folder of ", kFile);
  if (!folder.is_absolute())
    fail(Errc::unsupported, "cuda: RHEO_BACKEND_PATH must be an absolute path; got ", folder);
  return folder / kFile;
}

const Backend& load() {
  const std::filesystem::path file = plugin_file();
  const bool is_there = std::filesystem::exists(file);
  if (!is_there && std::getenv("RHEO_BACKEND_PATH"))
    fail(Errc::unsupported, "cuda: RHEO_BACKEND_PATH must be the folder of ", kFile,
         "; there is no ", file.string());
  if (!is_there)
    fail(Errc::unsupported, "cuda: this rheo was built without CUDA: there is no ", file.string(),
         "; build it with the CUDA toolkit (RHEO_CUDA=ON), or use --device cpu");
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    fail(Errc::unsupported, "cuda: ", file.string(), " cannot be loaded: ", dlerror(),
         "; install the CUDA toolkit's libraries and name their folder in LD_LIBRARY_PATH, or use "
         "--device cpu");
  using Entry = const Backend* (*)(const char*);
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "rheo_cuda_backend"));
  const Backend* backend = entry ? entry(RHEO_CONTRACT) : nullptr;
  if (backend == nullptr)
    fail(Errc::unsupported, "cuda: ", file.string(), " is not of this build of rheo ", version(),
         "; install both from one build");
  return *backend;
}

}  // namespace

const Backend& cuda_backend() {
  static std::mutex mutex;
  static const Backend* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded == nullptr) loaded = &load();  // a failure is tried again: its cause may be mended
  return *loaded;
}

}  // namespace rheo
