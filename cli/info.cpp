#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/counts.h"
#include "cli/failure.h"
#include "cli/options.h"
#include "cli/output.h"
#include "rheo/checkpoint.h"
#include "rheo/model.h"
#include "rheo/trainer.h"

namespace rheo::cli {

namespace {

using Json = nlohmann::ordered_json;

/// What the model takes to work with, or why that cannot be said.
struct MemoryTable {
  struct Row {
    std::string work;
    MemoryPlan plan;
  };
  std::string where;
  std::string problem;
  std::vector<Row> rows;
};

struct InfoCommand {
  std::string path;
  bool tensors = false;
  bool json = false;
  int batch = 0;
  ComputeFlags compute;

  int run() const;
  MemoryTable memory() const;
};

/// The figures of a plan under the names that JSON and the table's head have.
Json figures_of(const MemoryPlan& plan) {
  return {{"batch", plan.batch},         {"weights", plan.weights},
          {"optimizer", plan.optimizer}, {"activations", plan.activations},
          {"workspace", plan.workspace}, {"total", plan.total()},
          {"per_image", plan.per_image}, {"largest_batch", plan.largest_batch}};
}

Json json_of(const MemoryTable& table) {
  Json all = {{"compute", table.where}};
  if (!table.problem.empty()) all["problem"] = table.problem;
  for (const MemoryTable::Row& row : table.rows) {
    all["free"] = row.plan.free;
    all[row.work] = figures_of(row.plan);
  }
  return all;
}

std::string json_of(const std::string& path, const CheckpointInfo& info, const MemoryTable& table) {
  Json all = {{"file", path},
              {"bytes", info.bytes},
              {"parameters", info.parameters},
              {"config", Json::parse(info.config.to_json())},
              {"metadata", info.metadata},
              {"memory", json_of(table)},
              {"tensors", Json::array()}};
  for (const TensorInfo& t : info.tensors)
    all["tensors"].push_back({{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}});
  return text_of_json(all, 2);
}

const char* title(Family family) {
  switch (family) {
    case Family::glow:
      return "a Glow";
    case Family::realnvp:
      return "a RealNVP";
    case Family::nice:
      return "a NICE";
    case Family::maf:
      return "a masked autoregressive flow";
    case Family::iaf:
      return "an inverse autoregressive flow";
  }
  return "a flow";
}

std::string text_of(const std::string& path, const CheckpointInfo& info) {
  const ModelConfig& c = info.config;
  const Json config = Json::parse(c.to_json());  // has the keys that such a model has
  const auto word = [&](const char* key) { return config.value(key, std::string()); };
  std::string text =
      fmt::format("{}: {}, {} parameters, {:.1f} MB\n", on_one_line(path), title(c.family),
                  info.parameters, static_cast<double>(info.bytes) / 1e6);
  if (c.is_vector())
    text += fmt::format("  vectors   of {}\n", count_of(c.dims(), "numbers"));
  else
    text += fmt::format("  images    {}x{}x{} of {} bits ({} dimensions)\n", c.height, c.width,
                        c.channels, c.n_bits, c.dims());
  text += fmt::format("  flow      {}{}, hidden width {}, permutation {}\n",
                      c.is_vector() ? "" : count_of(c.levels, "levels") + " of ",
                      count_of(c.steps, "steps"), c.hidden, word("permutation"));
  if (!word("coupling").empty())
    text += fmt::format("  coupling  {}{}{}\n", word("coupling"),
                        word("scale").empty() ? "" : ", scale " + word("scale"),
                        c.edge_bias ? ", edge bias" : "");
  if (!word("prior").empty()) text += fmt::format("  prior     {}\n", word("prior"));
  if (c.family == Family::glow)
    text += c.classes ? fmt::format("  classes   {}\n", c.classes) : "  classes   none\n";
  text +=
      fmt::format("  tensors   {}, all of the right name, shape and type\n", info.tensors.size());
  return text;
}

std::string text_of(const MemoryTable& table, const ModelConfig& config) {
  if (!table.problem.empty())
    return fmt::format("  memory    on {}: {}\n", table.where, table.problem);
  const auto mb = [](std::int64_t bytes) {
    return fmt::format("{:.{}f}", static_cast<double>(bytes) / 1e6, bytes < 100'000'000 ? 1 : 0);
  };
  const auto line = [](const std::vector<std::string>& cells) {
    return fmt::format("    {:<10} {:>6} {:>9} {:>10} {:>12} {:>10} {:>8} {:>10} {:>12}\n",
                       cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6],
                       cells[7], cells[8]);
  };
  std::string text = fmt::format("  memory    in MB, on {}; {} free\n", table.where,
                                 mb(table.rows.front().plan.free));
  const bool vectors = config.is_vector();
  text += line({"", items_of(config), "weights", "optimiser", "activations", "workspace", "total",
                vectors ? "per vector" : "per image", vectors ? "most vectors" : "most images"});
  for (const auto& [work, plan] : table.rows)
    text += line({work, std::to_string(plan.batch), mb(plan.weights), mb(plan.optimizer),
                  mb(plan.activations), mb(plan.workspace), mb(plan.total()), mb(plan.per_image),
                  std::to_string(plan.largest_batch)});
  return text;
}

MemoryTable InfoCommand::memory() const {
  Compute how = make_compute(compute, Work::fast);
  MemoryTable table;
  table.where = how.device.description();
  try {
    const Model model = Model::load(path, how);
    table.where = description(model.compute());
    table.rows.push_back({"sampling", model.plan(batch)});
    TrainOptions options;
    if (batch) options.batch = batch;
    const bool full_alone = model.config().is_autoregressive();
    for (const Memory mode : {Memory::full, Memory::state, Memory::invert})
      if (how.memory == mode ||
          (how.memory == Memory::automatic && (mode == Memory::full || !full_alone)))
        table.rows.push_back({name(mode), plan_training(model, options, mode)});
  } catch (const Error& error) {
    const bool of_device = error.code() == Errc::out_of_memory || error.code() == Errc::device ||
                           error.code() == Errc::unsupported;
    if (!of_device) throw;
    table.problem = error.what();  // the file is good all the same
  }
  return table;
}

int InfoCommand::run() const {
  const CheckpointInfo info = inspect_checkpoint(path);
  const MemoryTable table = memory();
  if (json) {
    print(json_of(path, info, table));
    return kDone;
  }
  print(text_of(path, info) + text_of(table, info.config));
  if (tensors)
    for (const TensorInfo& t : info.tensors)
      print(fmt::format("  {}  {} [{}]\n", t.name, t.dtype, fmt::join(t.shape, ", ")));
  return kDone;
}

}  // namespace

Run add_info(CLI::App& app) {
  auto command = std::make_shared<InfoCommand>();
  app.add_option("MODEL", command->path,
                 "Checkpoint, .safetensors; or the folder of a run, whose last one it is")
      ->required()
      ->transform(model_in_folder());
  app.add_option("--batch", command->batch,
                 "Images at once, whose memory is told; 0: as sampling and training choose")
      ->check(within(0, kMaxBatch))
      ->capture_default_str();
  app.add_flag("--tensors", command->tensors, "List every tensor");
  app.add_flag("--json", command->json, "Print the result as JSON");
  add_compute_flags(app, command->compute);
  add_memory_flag(app, command->compute);
  return [command] { return command->run(); };
}

}  // namespace rheo::cli
