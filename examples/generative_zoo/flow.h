#pragma once

#include <vector>

#include "examples/generative_zoo/data.h"
#include "rheo/model.h"
#include "rheo/trainer.h"

namespace zoo {

/// A flow on vectors, by the library's name of its family.
struct Flow {
  const char* name;
  rheo::Family family;
  rheo::Permutation permutation;
};

/// NICE, RealNVP, RealNVP with Glow's learned 1x1 convolutions in place of swaps, and MAF.
const std::vector<Flow>& flows();

struct FlowPlan {
  int steps, hidden, updates, batch;
  double rate;
};

/// Data as a flow sees them, about 1 in size, and how many nats smaller that makes log p of a row.
/// A grey of the digits is an interval of length 1, filled with uniform noise.
struct Scaled {
  rheo::Tensor train, test;
  double log_scale = 0;
};
Scaled scaled(const Data& data);

rheo::Model model_of(const Flow& flow, int dims, const FlowPlan& plan);
rheo::TrainOptions training_of(const FlowPlan& plan);

}  // namespace zoo
