#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "src/io/file.h"
#include "tests/fuzz/target.h"

namespace rheo::fuzz {
namespace {

struct Target {
  const char* name;
  void (*run)(Bytes);
};

constexpr Target kTargets[] = {{"safetensors", safetensors},
                               {"checkpoint", checkpoint},
                               {"state", state},
                               {"config", config},
                               {"options", options},
                               {"settings", settings},
                               {"record", record},
                               {"metrics", metrics},
                               {"npy", npy},
                               {"idx", idx},
                               {"idx_gzip", idx_gzip},
                               {"cifar", cifar},
                               {"png", png},
                               {"jpeg", jpeg}};

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void replay(const Target& target, const std::string& path) {
  std::printf("%s\n", path.c_str());
  std::fflush(stdout);  // a defect ends the process: this line says which file showed it
  const std::vector<std::uint8_t> bytes = read_file(path);
  const auto start = std::chrono::steady_clock::now();
  target.run(bytes);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  require(took.count() < 1, "took over a second");
}

int replay_all(const std::string& corpus) {
  std::size_t count = 0;
  for (const Target& target : kTargets) {
    const auto files = files_in(corpus + "/" + target.name);
    require(!files.empty(), "a format has no file");
    for (const std::string& path : files) replay(target, path);
    count += files.size();
  }
  std::printf("%zu files, no defect\n", count);
  return 0;
}

int replay_one(const std::string& name, const std::string& path) {
  for (const Target& target : kTargets) {
    if (name != target.name) continue;
    replay(target, path);
    return 0;
  }
  std::fprintf(stderr, "replay: no format %s\n", name.c_str());
  return 2;
}

}  // namespace
}  // namespace rheo::fuzz

/// Reads the files that once were new to a fuzzer again: rheo_fuzz_replay CORPUS, or FORMAT FILE.
int main(int argc, char** argv) {
  if (argc == 2) return rheo::fuzz::replay_all(argv[1]);
  if (argc == 3) return rheo::fuzz::replay_one(argv[1], argv[2]);
  std::fputs("usage: rheo_fuzz_replay CORPUS | FORMAT FILE\n", stderr);
  return 2;
}
