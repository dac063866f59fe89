// Loads checkpoints again and again while others write them: soak_reader last|file PATH DATA END
//   last: PATH is checkpoints/last of a run at work; every load must give one whole checkpoint
//   file: PATH is a model file that is cut and mended meanwhile; a load may be refused, no more
// until the file END exists, and prints {"loads": n, "refused": m}.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "rheo/rheo.h"

namespace rheo {
namespace {

const Compute kCompute{.device = Device::cpu(1), .precision = Precision::f32};

/// A run only goes on: the updates that a reader finds never become fewer.
std::int64_t load_last(const std::string& folder, const Dataset& data, std::int64_t before) {
  const CheckpointInfo info = inspect_checkpoint(folder + "/model.safetensors");
  const Model model = Model::load(folder + "/model.safetensors", kCompute);
  if (model.config().to_json() != info.config.to_json()) throw std::runtime_error("mixed models");
  const std::int64_t step = Trainer::resume(folder, data, kCompute).steps_done();
  if (step < before) throw std::runtime_error("the last checkpoint became an older one");
  return step;
}

/// What is loaded at all is what was written first.
bool load_file(const std::string& path, std::int64_t parameters) {
  try {
    const CheckpointInfo info = inspect_checkpoint(path);
    if (info.parameters != parameters) throw std::runtime_error("another model");
    Model::load(path, kCompute);
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::bad_file && error.code() != Errc::io) throw;
    return false;
  }
}

void read_until(const std::string& end, const std::string& mode, const std::string& path,
                const Dataset& data) {
  long loads = 0, refused = 0;
  std::int64_t step = 0;
  const std::int64_t parameters =
      mode == "file" ? inspect_checkpoint(path + ".whole").parameters : 0;
  for (; !std::filesystem::exists(end); ++loads) {
    if (mode == "last")
      step = load_last(path, data, step);
    else
      refused += !load_file(path, parameters);
  }
  std::printf("{\"loads\": %ld, \"refused\": %ld}\n", loads, refused);
}

}  // namespace
}  // namespace rheo

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    rheo::read_until(argv[4], argv[1], argv[2], rheo::Dataset::open(argv[3]));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
