// Linked into the program in place of its CPU backend (ld --wrap), puts numbers that are not finite
// into its training:
//
//   RHEO_FAULT_NUMBER   PLACE:VALUE:FIRST:COUNT, as tests/support/injector.h has them; PLACE is
//   input,
//                       loss, gradient or weight, VALUE nan, inf or -inf

#include <cstdlib>
#include <sstream>
#include <string>

#include "tests/support/injector.h"

namespace {

using rheo::test::Place;

Place place_from(const std::string& name) {
  return name == "input"      ? Place::input
         : name == "loss"     ? Place::loss
         : name == "gradient" ? Place::gradient
         : name == "weight"   ? Place::weight
                              : Place::none;
}

rheo::test::Fault ordered() {
  const char* text = std::getenv("RHEO_FAULT_NUMBER");
  std::istringstream words(text ? text : "");
  std::string place, value, first = "0", count = "0";
  std::getline(words, place, ':'), std::getline(words, value, ':');
  std::getline(words, first, ':'), std::getline(words, count, ':');
  return {place_from(place), std::strtof(value.c_str(), nullptr), std::atoll(first.c_str()),
          std::atoll(count.c_str())};
}

}  // namespace

// What the linker calls the real one and this one.
extern "C" const rheo::Backend& __real__ZN4rheo11cpu_backendEv();
extern "C" const rheo::Backend& __wrap__ZN4rheo11cpu_backendEv() {
  static const rheo::Backend& backend = [&]() -> const rheo::Backend& {
    rheo::test::inject(ordered());
    return rheo::test::faulty(__real__ZN4rheo11cpu_backendEv());
  }();
  return backend;
}
