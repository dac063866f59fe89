#pragma once

// Work of whole models through the public API: a training step (loading and upload of images
// included), sampling, and scores, in images a second; at batch 1 the time of a sample is its
// latency.

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "rheo/rheo.h"

namespace rheo::bench {

struct Case {
  std::string model;
  ModelConfig config;
  Compute compute;
  int batch = 0;
};

/// All three sizes of CIFAR-10: the paper's network, and one that a CPU trains in minutes.
inline const ModelConfig kPaper, kSmall = {.steps = 8, .hidden = 128};

/// Does a case's batch once; throws Error where its device lacks something (a precision, a memory
/// mode, the room) or an update is skipped.
using Job = std::function<void()>;

/// Makes a model and all that its job needs.
using Work = Job (*)(const Case&);
Job train(const Case& c);
Job sample(const Case& c);
Job score(const Case& c);

/// Trains and samples a small model, so that what a process loads once and keeps is not counted in
/// whichever row comes first. Where this machine has no bf16 and it is asked for, nothing.
void load_once(const Compute& compute);

/// Registers a row. What is thrown is said in it.
void add(const std::string& name, int iterations,
         const std::function<void(benchmark::State&)>& row);

}  // namespace rheo::bench
