#include "examples/generative_zoo/flow.h"

#include <cmath>

#include "examples/generative_zoo/network.h"

namespace zoo {
namespace {

rheo::Tensor rows(Values values, int dims) {
  const auto count = static_cast<std::int64_t>(values.size()) / dims;
  return {{count, dims}, std::move(values)};
}

/// `copies` draws of the noise.
Values dequantised(const Values& images, int copies, Random& random) {
  Values values;
  for (int copy = 0; copy < copies; ++copy) {
    const Values noise = random.uniform(static_cast<std::int64_t>(images.size()));
    for (std::size_t i = 0; i < images.size(); ++i)
      values.push_back((images[i] + noise[i] - 8.5f) / 6);
  }
  return values;
}

}  // namespace

const std::vector<Flow>& flows() {
  static const std::vector<Flow> all = {
      {"nice", rheo::Family::nice, rheo::Permutation::reverse},
      {"realnvp", rheo::Family::realnvp, rheo::Permutation::reverse},
      {"glow", rheo::Family::realnvp, rheo::Permutation::lu},
      {"maf", rheo::Family::maf, rheo::Permutation::reverse}};
  return all;
}

Scaled scaled(const Data& data) {
  if (data.name == "moons") return {rows(data.train, data.dims), rows(data.test, data.dims)};
  Random random(8);
  return {rows(dequantised(data.train, 20, random), data.dims),
          rows(dequantised(data.test, 1, random), data.dims), data.dims * std::log(6.)};
}

rheo::Model model_of(const Flow& flow, int dims, const FlowPlan& plan) {
  rheo::ModelConfig config = rheo::ModelConfig::of_vectors(flow.family, dims);
  config.steps = plan.steps, config.hidden = plan.hidden, config.permutation = flow.permutation;
  return rheo::Model(config, 1, {.device = device()});
}

rheo::TrainOptions training_of(const FlowPlan& plan) {
  rheo::TrainOptions options;
  options.steps = plan.updates, options.batch = plan.batch, options.warmup_images = 0;
  options.optimizer = rheo::Optimizer::adam, options.learning_rate = plan.rate;
  options.schedule = rheo::Schedule::cosine, options.clip_norm = 2, options.seed = 1;
  return options;
}

}  // namespace zoo
