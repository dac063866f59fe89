// One process that trains, samples, scores, saves, loads and resumes for a time, makes and destroys
// models and trainers, and tells ten times a second what it holds: rheo_endurance FOLDER SECONDS
// CREATED ends once both so many seconds and so many makings are over. One JSON object a line on
// stdout.

#include <rheo/rheo.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using namespace rheo;
using Clock = std::chrono::steady_clock;

long entries(const char* folder) {
  namespace fs = std::filesystem;
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

/// In bytes: what of the process is in memory.
long resident() {
  std::ifstream statm("/proc/self/statm");
  long size = 0, pages = 0;
  statm >> size >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

/// Of bounded scale: after many thousand updates on so few images the published one's inverse
/// leaves the finite range, which is an error, and not what is tried here.
ModelConfig tiny(int hidden) {
  return {.height = 8,
          .width = 8,
          .channels = 3,
          .levels = 2,
          .steps = 2,
          .hidden = hidden,
          .scale = Scale::bounded};
}

Dataset images() {
  constexpr std::int64_t kCount = 64, kValues = 8 * 8 * 3;
  Pixels pixels{{kCount, 8, 8, 3}, std::vector<std::uint8_t>(kCount * kValues)};
  for (std::int64_t i = 0; i < kCount * kValues; ++i)
    pixels.data[i] = static_cast<std::uint8_t>(40 + (i * 2654435761u >> 24) % 150);
  return Dataset(std::move(pixels));
}

class Endurance {
 public:
  explicit Endurance(std::string folder) : folder_(std::move(folder)), trainer_(trainer(16)) {
    std::filesystem::create_directories(folder_);
  }

  /// The long-lived trainer at work, and models that come and go.
  void round() {
    for (int i = 0; i < 4; ++i) trainer_.step();
    trainer_.model().sample(4, {.seed = static_cast<std::uint64_t>(rounds_)});
    score(trainer_.model(), data_);
    if (rounds_ % 8 == 0) save();
    for (int i = 0; i < 4; ++i) make_and_destroy();
    ++rounds_;
  }

  void tell(double seconds) const {
    std::printf(
        "{\"seconds\": %.1f, \"updates\": %lld, \"created\": %ld, \"resident\": %ld, "
        "\"files\": %ld, \"threads\": %ld}\n",
        seconds, static_cast<long long>(trainer_.steps_done()), created_, resident(),
        entries("/proc/self/fd"), entries("/proc/self/task"));
    std::fflush(stdout);
  }

  long created() const { return created_; }

 private:
  Trainer trainer(int hidden) {
    return Trainer(
        Model(tiny(hidden), 1), data_,
        {.steps = 1 << 30, .batch = 8, .average = 0.9, .init_images = 16, .loader_threads = 2});
  }

  void save() {
    trainer_.save(folder_);
    trainer_ = Trainer::resume(folder_, data_);
    Model::load(folder_ + "/model.safetensors")
        .encode(dequantize(data_.images(), 8, Noise::at_centre()));
    created_ += 2;
  }

  void make_and_destroy() {
    Trainer short_lived = trainer(8);
    if (created_ % 3 == 0) {
      short_lived.step();
      short_lived.release().sample(1);
    }
    try {  // what is refused must leave nothing either
      Model(tiny(0));
    } catch (const Error&) {
    }
    ++created_;
  }

  std::string folder_;
  Dataset data_ = images();
  Trainer trainer_;
  long rounds_ = 0, created_ = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    Endurance endurance(argv[1]);
    const auto start = Clock::now();
    constexpr int kLeast = 30;  // of what is told: a machine may have been busy with others
    double told = 0;
    int tellings = 0;
    while (seconds_since(start) < std::atof(argv[2]) || endurance.created() < std::atol(argv[3]) ||
           tellings < kLeast) {
      endurance.round();
      if (seconds_since(start) < told) continue;
      endurance.tell(seconds_since(start));
      ++tellings;
      told = seconds_since(start) + 0.1;
    }
    endurance.tell(seconds_since(start));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rheo_endurance: %s\n", error.what());
    return 1;
  }
}
