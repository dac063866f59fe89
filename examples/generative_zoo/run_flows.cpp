// Four flows by the library's own trainer. Usage: zoo_flows FOLDER [SHARE]

#include "examples/generative_zoo/flow.h"
#include "examples/generative_zoo/record.h"
#include "rheo/rheo.h"

namespace {

using zoo::Values;

void learn(const zoo::Request& request, const zoo::Data& data, const zoo::Flow& flow,
           zoo::FlowPlan plan) {
  zoo::Record record(request, flow.name, data);
  zoo::Scaled set = zoo::scaled(data);
  plan.updates = request.of(plan.updates);
  const rheo::Dataset train(std::move(set.train)), test(std::move(set.test));
  rheo::Trainer trainer(zoo::model_of(flow, data.dims, plan), train, zoo::training_of(plan));
  record.train(plan.updates, [&] { return -trainer.step().nats - set.log_scale; });
  rheo::Model model = trainer.release();
  const rheo::Score score = rheo::score(model, test);
  record.text("likelihood", data.name == "moons" ? "exact" : "exact density; lower bound of P");
  if (data.name == "moons") {
    record.number("truth", zoo::mean_of(zoo::moons_log_density(data.test)).value);
    record.table("data", {data.test.begin(), data.test.begin() + 2000}, data.dims);
  }
  record.value(
      {-score.nats - set.log_scale, score.nats_standard_error},
      data.name == "moons" ? "nats a point" : "nats an image of 17 greys, by dequantisation");
  record.number("parameters", double(model.parameter_count()));
  record.samples([&](zoo::Random) {
    Values x = model.sample(1000, {.seed = 9}).data;
    if (data.name == "digits")
      for (float& value : x) value = 6 * value + 8;
    return x;
  });
  record.save();
}

}  // namespace

int main(int count, char** words) {
  return zoo::run_program(count, words, [](const zoo::Request& request) {
    for (const zoo::Flow& flow : zoo::flows())
      learn(request, zoo::moons(), flow, {8, 64, 4000, 512, 2e-3});
    if (!zoo::has_digits(request.folder)) return;
    // NICE's scale is a learned one that starts at 1, and with nothing fitted to the data has far
    // to go.
    for (const zoo::Flow& flow : zoo::flows())
      learn(request, zoo::digits(request.folder), flow,
            {8, 128, 700, 128, flow.family == rheo::Family::nice ? 2e-2 : 1e-3});
  });
}
