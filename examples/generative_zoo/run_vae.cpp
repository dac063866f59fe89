// Variational autoencoders. Usage: zoo_vae FOLDER [SHARE]
#include "examples/generative_zoo/record.h"
#include "examples/generative_zoo/vae.h"

namespace {

using zoo::Values;

struct Plan {
  int latent, hidden, updates, batch;
  double rate;
  const char* unit;
};

/// The evidence bound and importance sampling of the same points, at most 1,000.
void compare(const zoo::Request& request, zoo::Record& record, zoo::Vae& vae, const zoo::Data& data,
             zoo::Random& random) {
  const std::size_t some = std::min<std::size_t>(data.test.size(), 1000 * data.dims);
  const Values points(data.test.begin(), data.test.begin() + some);
  const zoo::Mean loose = zoo::mean_of(vae.bound(points, random));
  const zoo::Mean tight = zoo::mean_of(vae.log_prob(points, request.of(500), random));
  record.number("points", double(some) / data.dims);
  record.number("loose", loose.value);
  record.number("loose_error", loose.error);
  record.number("tight", tight.value);
  record.number("tight_error", tight.error);
}

void learn(const zoo::Request& request, const zoo::Data& data, zoo::Decoder decoder,
           const Plan& plan) {
  zoo::Record record(request, "vae", data);
  zoo::Random random(3);
  zoo::Vae vae(data.dims, plan.latent, plan.hidden, decoder, random);
  const int updates = request.of(plan.updates);
  int done = 0;
  record.train(updates, [&] {
    const double rate = plan.rate * (1 - 0.95 * done++ / updates);
    return vae.update(random.rows_of(data.train, data.dims, plan.batch), rate, random);
  });
  record.number("parameters", double(vae.parameter_count()));
  record.text("likelihood", "lower bound");
  record.value(zoo::mean_of(vae.bound(data.test, random)), plan.unit);
  compare(request, record, vae, data, random);
  record.samples([&](zoo::Random stream) { return vae.sample(1000, stream); });
  record.table("means", vae.means(1000, random), data.dims);

  // The sampling dynamics, from noise: where points, or images, are after so many rounds.
  const bool points = decoder == zoo::Decoder::gaussian;
  Values x = random.uniform((points ? 1000 : 6) * data.dims), chain;
  for (float& value : x) value = points ? 6 * value - 3 : std::floor(17 * value * 0.999f);
  for (const int rounds : {0, 1, 1, 2, 4, 8, 16, 32}) {
    x = vae.chain(std::move(x), rounds, random);
    chain.insert(chain.end(), x.begin(), x.end());
  }
  record.table("chain", chain, data.dims);
  record.save();
}

}  // namespace

int main(int count, char** words) {
  return zoo::run_program(count, words, [](const zoo::Request& request) {
    learn(request, zoo::moons(), zoo::Decoder::gaussian,
          {2, 128, 10000, 256, 5e-3, "nats a point"});
    if (zoo::has_digits(request.folder))
      learn(request, zoo::digits(request.folder), zoo::Decoder::binomial,
            {10, 256, 1200, 128, 1e-3, "nats an image of 17 greys"});
  });
}
