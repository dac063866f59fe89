// The same game for each divergence of the table. Usage: zoo_fgan FOLDER [SHARE]
#include "examples/generative_zoo/play.h"
#include "examples/generative_zoo/study.h"

namespace {

using zoo::Values;

/// On the line, where the divergence is known: what a critic's bound comes to.
void study(const zoo::Request& request, zoo::Record& record, const zoo::Divergence& divergence) {
  zoo::Random random(7);
  zoo::Critic critic(divergence, 1, 64, random);
  const int updates = request.of(2000);
  for (int i = 0; i < updates; ++i)
    critic.update(zoo::line_p_points(512, random), zoo::line_q_points(512, random),
                  2e-3 * (1 - 0.95 * i / updates));
  const double bound = zoo::line_bound(
      divergence, [&](double x) { return double(critic.output({static_cast<float>(x)})[0]); });
  const double exact = zoo::line_divergence(divergence);
  std::printf("%s on the line: bound %.4f, divergence %.4f\n", divergence.name, bound, exact);
  record.number("line_bound", bound);
  record.number("line_divergence", exact);
}

void learn(const zoo::Request& request, const zoo::Data& data, int updates) {
  for (const zoo::Divergence& divergence : zoo::divergences()) {
    zoo::Record record(request, std::string("fgan_") + divergence.name, data);
    record.text("divergence", divergence.title);
    zoo::play(request, record, data, divergence, updates);
    if (data.name == "moons") study(request, record, divergence);
    record.save();
  }
}

}  // namespace

int main(int count, char** words) {
  return zoo::run_program(count, words, [](const zoo::Request& request) {
    learn(request, zoo::moons(), 6000);
    if (zoo::has_digits(request.folder)) learn(request, zoo::digits(request.folder), 4000);
  });
}
