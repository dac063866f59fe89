#include <CLI/App.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/toy_data.h"
#include "rheo/npy.h"

namespace rheo::cli {

namespace {

struct ToyCommand {
  std::string kind;
  std::string output;
  std::int64_t count = 20000;
  std::uint64_t seed = 0;
  std::optional<double> noise;
  bool standardise = false;

  int run() const;
};

int ToyCommand::run() const {
  require_output(output, {"npy"}, "OUTPUT");
  const Toy toy = toy_from_name(kind);
  write_npy(output, standardise ? standard_toy(toy, {count, noise, seed})
                                : toy_points(toy, count, seed, noise));
  return kDone;
}

}  // namespace

Run add_toy(CLI::App& app) {
  auto command = std::make_shared<ToyCommand>();
  const auto names = toy_names();
  std::string kinds;
  for (const std::string_view name : names)
    kinds += (kinds.empty() ? "" : ", ") + std::string(name);
  app.add_option("KIND", command->kind, kinds)
      ->required()
      ->check(one_of({names.begin(), names.end()}));
  app.add_option("OUTPUT", command->output, "Points: .npy, float32 [N, 2]")->required();
  app.add_option("--count", command->count, "Points")->check(within(1, 1e9))->capture_default_str();
  app.add_option("--seed", command->seed, "With its index it decides each point")
      ->check(within(0, kLargestSeed))
      ->capture_default_str();
  app.add_option("--noise", command->noise,
                 "Deviation of what is added to each coordinate, before standardising; of a "
                 "pinwheel the width of its blades")
      ->check(within(0, 1e6))
      ->default_str("the kind's");
  app.add_flag("--standardise", command->standardise,
               "To mean 0 and deviation 1, those of the 20,000 points of seed 0, as DATA toy:KIND "
               "has them: then points of other seeds are to the same scale");
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
