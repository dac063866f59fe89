#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "rheo/checkpoint.h"

namespace rheo::cli {

namespace {

struct InfoCommand {
  std::string path;
  bool tensors = false;
  bool json = false;

  int run() const;
};

std::string json_of(const std::string& path, const CheckpointInfo& info) {
  nlohmann::ordered_json all = {{"file", path},
                                {"bytes", info.bytes},
                                {"parameters", info.parameters},
                                {"config", nlohmann::ordered_json::parse(info.config.to_json())},
                                {"metadata", info.metadata},
                                {"tensors", nlohmann::ordered_json::array()}};
  for (const TensorInfo& t : info.tensors)
    all["tensors"].push_back({{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}});
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string text_of(const std::string& path, const CheckpointInfo& info) {
  const ModelConfig& c = info.config;
  const char* coupling = c.coupling == Coupling::affine ? "affine" : "additive";
  const char* scale = c.scale == Scale::sigmoid2 ? "sigmoid2" : "bounded";
  std::string text = fmt::format("{}: a Glow, {} parameters, {:.1f} MB\n", path, info.parameters,
                                 static_cast<double>(info.bytes) / 1e6);
  text += fmt::format("  images    {}x{}x{} of {} bits ({} dimensions)\n", c.height, c.width,
                      c.channels, c.n_bits, c.dims());
  text += fmt::format("  flow      {} levels of {} steps, hidden width {}\n", c.levels, c.steps,
                      c.hidden);
  text += fmt::format("  coupling  {}, scale {}{}\n", coupling, scale,
                      c.edge_bias ? ", edge bias" : "");
  text += c.classes ? fmt::format("  classes   {}\n", c.classes) : "  classes   none\n";
  text +=
      fmt::format("  tensors   {}, all of the right name, shape and type\n", info.tensors.size());
  return text;
}

int InfoCommand::run() const {
  const CheckpointInfo info = inspect_checkpoint(path);
  if (json) {
    print(json_of(path, info));
    return kDone;
  }
  print(text_of(path, info));
  if (tensors)
    for (const TensorInfo& t : info.tensors)
      print(fmt::format("  {}  {} [{}]\n", t.name, t.dtype, fmt::join(t.shape, ", ")));
  return kDone;
}

}  // namespace

Run add_info(CLI::App& app) {
  auto command = std::make_shared<InfoCommand>();
  app.add_option("MODEL", command->path, "Checkpoint, .safetensors")->required();
  app.add_flag("--tensors", command->tensors, "List every tensor");
  app.add_flag("--json", command->json, "Print the result as JSON");
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
