// A program that knows rheo only as installed. Prints the version if everything else is right.
#include <rheo/rheo.h>

#include <cmath>
#include <iostream>
#include <vector>

namespace {

rheo::ModelConfig tiny() {
  rheo::ModelConfig config;
  config.height = config.width = 4;
  config.channels = 1;
  config.levels = 1;
  config.steps = 1;
  config.hidden = 4;
  return config;
}

rheo::Tensor ramp(std::int64_t images) {
  rheo::Tensor x{{images, 4, 4, 1}, {}};
  for (int i = 0; i < 16 * images; ++i) x.data.push_back(static_cast<float>(i * 37 % 256) / 256);
  return x;
}

// Thrown inside the library and caught here: its type must be the same on both sides.
bool error_crosses_the_boundary() {
  rheo::ModelConfig config = tiny();
  config.height = 3;
  try {
    config.validate();
  } catch (const rheo::Error& error) {
    return error.code() == rheo::Errc::invalid_argument;
  }
  return false;
}

bool model_works() {
  rheo::Model model(tiny());
  const rheo::Tensor x = ramp(8);
  model.initialize(x);
  for (const double log_p : model.log_prob(x))
    if (!std::isfinite(log_p)) return false;
  return model.sample(2).shape == rheo::Shape{2, 4, 4, 1};
}

}  // namespace

int main() {
  if (!error_crosses_the_boundary()) return std::cerr << "rheo::Error was not caught\n", 1;
  if (!model_works()) return std::cerr << "a tiny model gives no finite numbers\n", 1;
  std::cout << rheo::version() << '\n';
}
