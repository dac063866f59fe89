#include "tests/support/injector.h"

#include <random>

namespace rheo::test {
namespace {

const Backend* real = nullptr;
Fault fault;
std::int64_t updates = 0;  // since `inject`

bool now(Place place) {
  return fault.place == place && updates >= fault.first && updates < fault.first + fault.count;
}

/// One value of so many, another one at each update.
float& one_of(const float* values, std::int64_t size) {
  std::mt19937_64 random(static_cast<std::uint64_t>(updates));
  return const_cast<float*>(values)[random() % static_cast<std::uint64_t>(size)];
}

void dequantize(const DequantizeArgs& a, Stream stream) {
  real->pixels_dequantize(a, stream);
  if (now(Place::input)) one_of(a.x, a.count * a.dims) = fault.value;
}

void log_det_sum(const LogDetArgs& a, Stream stream) {
  real->log_det_sum(a, stream);
  if (now(Place::loss)) a.log_prob[0] = static_cast<double>(fault.value);
}

void norm(const AdamArgs& a, Stream stream) {
  if (now(Place::gradient)) one_of(a.gradient, a.size) = fault.value;
  real->adam_norm(a, stream);
}

void update(const AdamArgs& a, Stream stream) {
  real->adam_update(a, stream);
  if (fault.place == Place::weight && updates == fault.first)
    one_of(a.parameters, a.size) = fault.value;
  ++updates;
}

}  // namespace

const Backend& faulty(const Backend& backend) {
  real = &backend;
  static Backend with_faults;
  with_faults = backend;
  with_faults.pixels_dequantize = dequantize;
  with_faults.log_det_sum = log_det_sum;
  with_faults.adam_norm = norm;
  with_faults.adam_update = update;
  return with_faults;
}

void inject(const Fault& wanted) {
  fault = wanted;
  updates = 0;
}

}  // namespace rheo::test
