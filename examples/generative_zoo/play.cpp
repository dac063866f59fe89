#include "examples/generative_zoo/play.h"

namespace zoo {

void play(const Request& request, Record& record, const Data& data, const Divergence& divergence,
          int updates) {
  constexpr int kBatch = 256;
  constexpr double kRate = 1e-3;
  const bool points = data.name == "moons";
  Random random(5);
  Game game(divergence, {data.dims, points ? 4 : 16, 128, !points}, random);
  const auto batch = [&](const Values& from, int count) {
    Values x = random.rows_of(from, data.dims, count);
    if (!points)
      for (float& value : x) value = value / 8 - 1;
    return x;
  };
  const int all = request.of(updates);
  int done = 0;
  record.train(all, [&] {
    const double rate = kRate * (1 - 0.95 * done++ / all);
    return game.update(batch(data.train, kBatch), rate, random);
  });
  record.number("parameters", double(game.parameter_count()));
  record.text("likelihood", "none; only the ratio p/q");
  std::vector<double> bounds;
  for (int i = 0; i < 20; ++i)
    bounds.push_back(game.critic().bound(batch(data.test, 500), game.sample(500, random)));
  record.value(mean_of(bounds), "bound on the divergence");
  record.samples([&](Random stream) {
    Values x = game.sample(1000, stream);
    if (!points)
      for (float& value : x) value = 8 * (value + 1);
    return x;
  });
}

}  // namespace zoo
