// RealNVP learns the double moon. Usage: double_moon FOLDER; then scripts/plot FOLDER draws it.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "rheo/rheo.h"

namespace {

void learn(const std::string& folder) {
  // 20,000 points with noise 0.05, each coordinate with mean 0 and deviation 1, and 10,000 to test.
  rheo::Tensor train = rheo::toy_points(rheo::Toy::moons, 20000, 0);
  rheo::Tensor test = rheo::toy_points(rheo::Toy::moons, 10000, 1);
  rheo::standardise(test, rheo::standardise(train));
  rheo::write_npy(folder + "/train.npy", train);
  rheo::write_npy(folder + "/test.npy", test);

  // Four couplings, each with a network of two hidden layers of 256.
  rheo::Model model(rheo::ModelConfig::of_vectors(rheo::Family::realnvp, 2), 1);
  const rheo::Dataset data(std::move(train));
  std::ofstream(folder + "/config.json")
      << R"({"data":{"path":"toy:moons"},"model":)" << model.config().to_json() << "}\n";
  rheo::TrainOptions options;
  options.steps = 4000, options.batch = 512, options.warmup_images = 0;
  options.optimizer = rheo::Optimizer::adam, options.learning_rate = 1e-3;
  options.schedule = rheo::Schedule::cosine, options.clip_norm = 2, options.seed = 1;

  rheo::Trainer trainer(std::move(model), data, options);
  std::ofstream metrics(folder + "/metrics.jsonl");
  while (trainer.steps_done() < options.steps) {
    const rheo::StepReport report = trainer.step();
    metrics << R"({"split":"train","step":)" << report.step << R"(,"nats":)" << report.nats
            << "}\n";
    if (report.step % 500 == 0) std::printf("%5d  %.3f nats\n", int(report.step), -report.nats);
  }
  std::filesystem::create_directories(folder + "/checkpoints/last");
  trainer.save(folder + "/checkpoints/last");

  const rheo::Score score = rheo::score(trainer.model(), rheo::Dataset(std::move(test)));
  std::printf("test log-likelihood %.4f nats a point (standard error %.4f)\n", -score.nats,
              score.nats_standard_error);
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return std::fprintf(stderr, "usage: double_moon FOLDER\n"), 2;
  try {
    std::filesystem::create_directories(words[1]);
    learn(words[1]);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "double_moon: %s\n", error.what()), 1;
  }
}
