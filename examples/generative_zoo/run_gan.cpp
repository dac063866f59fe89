// A generative adversarial network, and the best discriminator. Usage: zoo_gan FOLDER [SHARE]

#include "examples/generative_zoo/network.h"
#include "examples/generative_zoo/play.h"
#include "examples/generative_zoo/study.h"

namespace {

using zoo::Values;

/// A discriminator learned against fake points that stay as they are.
zoo::Critic discriminator(const zoo::Request& request, double nearness, const zoo::Data& data,
                          zoo::Random& random) {
  zoo::Critic critic(zoo::divergence("gan"), 2, 128, random);
  const int updates = request.of(4000);
  for (int i = 0; i < updates; ++i)
    critic.update(random.rows_of(data.train, 2, 256),
                  zoo::near_moons(nearness, data.train, 256, random),
                  3e-3 * (1 - 0.95 * i / updates));
  return critic;
}

/// The value of the game over how near the fake points are, learned and by integration; and the
/// discriminator at one of them beside p / (p + q).
void study(const zoo::Request& request, const zoo::Record& record, const zoo::Data& data) {
  constexpr double kShown = 0.5;
  constexpr int kSide = 100;
  Values exact, learned, shown;
  for (int i = 0; i <= 40; ++i)
    for (const double value : {i / 40., zoo::best_value(i / 40.)})
      exact.push_back(static_cast<float>(value));
  for (const double nearness : {0., 0.25, kShown, 0.75, 0.9, 1.}) {
    zoo::Random random(6);
    zoo::Critic critic = discriminator(request, nearness, data, random);
    const double value =
        critic.bound(data.test, zoo::near_moons(nearness, data.test, 10000, random));
    std::printf("gan, nearness %.2f: %.4f nats, by integration %.4f\n", nearness, value,
                zoo::best_value(nearness));
    for (const double number : {nearness, value}) learned.push_back(static_cast<float>(number));
    if (nearness != kShown) continue;
    Values points;
    for (int k = 0; k < kSide * kSide; ++k)
      for (const int at : {k % kSide, k / kSide})
        points.push_back(static_cast<float>(6 * (at + 0.5) / kSide - 3));
    for (const float v : critic.output(points))
      shown.push_back(static_cast<float>(zoo::sigmoid(double(v))));
    for (const double best : zoo::best_discriminator(nearness, points))
      shown.push_back(static_cast<float>(best));
  }
  record.table("exact", exact, 2);
  record.table("learned", learned, 2);
  record.table("discriminators", shown, kSide);
}

void learn(const zoo::Request& request, const zoo::Data& data, int updates) {
  zoo::Record record(request, "gan", data);
  zoo::play(request, record, data, zoo::divergence("gan"), updates);
  if (data.name == "moons") study(request, record, data);
  record.save();
}

}  // namespace

int main(int count, char** words) {
  return zoo::run_program(count, words, [](const zoo::Request& request) {
    learn(request, zoo::moons(), 10000);
    if (zoo::has_digits(request.folder)) learn(request, zoo::digits(request.folder), 5000);
  });
}
