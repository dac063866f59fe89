#include "bench/model_work.h"

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

namespace rheo::bench {
namespace {

/// Noise: the time of a step does not depend on what the images show.
Dataset images_for(const Case& c) {
  const std::int64_t count = std::max(2 * c.batch, 64);
  Pixels pixels = {{count, c.config.height, c.config.width, c.config.channels}, {}};
  std::minstd_rand bits(1);
  pixels.data.resize(static_cast<std::size_t>(count * c.config.dims()));
  for (auto& value : pixels.data) value = static_cast<std::uint8_t>(bits() >> 8);
  return Dataset(std::move(pixels));
}

/// After some updates, so that no weight is still zero: zeros may multiply faster.
Trainer trained(const Case& c, const Dataset& data) {
  TrainOptions options;
  options.batch = c.batch;
  options.init_images = 16;  // whatever the batch, of whose memory they are to be no part
  options.optimizer = Optimizer::adam;
  options.learning_rate = 1e-6;  // more, with no warm-up, and 96 steps are soon not invertible
  options.warmup_images = 0;
  Trainer trainer(Model(c.config, 1, c.compute), data, options);
  for (int i = 0; i < 2; ++i) trainer.step();
  return trainer;
}

/// Where training is not what is measured.
Model trained_model(Case c, const Dataset& data) {
  c.batch = 8;
  return trained(c, data).release();
}

}  // namespace

Job train(const Case& c) {
  const auto data = std::make_shared<const Dataset>(images_for(c));
  const auto trainer = std::make_shared<Trainer>(trained(c, *data));
  return [data, trainer] {  // which reads its data as it goes
    if (trainer->step().skipped)
      throw Error(Errc::diverged, "bench: an update was skipped as not finite");
  };
}

Job sample(const Case& c) {
  const Dataset data = images_for(c);
  const auto model = std::make_shared<Model>(trained_model(c, data));
  return [model, batch = c.batch, options = SampleOptions()]() mutable {
    ++options.seed;
    benchmark::DoNotOptimize(model->sample(batch, options).data.data());
  };
}

Job score(const Case& c) {
  const Dataset data = images_for(c);
  const auto model = std::make_shared<Model>(trained_model(c, data));
  return
      [model, x = dequantize(data.slice(0, c.batch).images(), c.config.n_bits, Noise::uniform(1))] {
        benchmark::DoNotOptimize(model->log_prob(x).data());
      };
}

void load_once(const Compute& compute) {
  const Case c = {"small", kSmall, compute};
  try {
    trained_model(c, images_for(c)).sample(1);
  } catch (const Error& error) {
    if (error.code() != Errc::unsupported) throw;
  }
}

void add(const std::string& name, int iterations,
         const std::function<void(benchmark::State&)>& row) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 try {
                                   row(state);
                                 } catch (const Error& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->Iterations(iterations)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace rheo::bench
