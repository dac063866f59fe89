#include "order.h"

#include <cstdlib>

#include "simt/control.h"

namespace simt {
namespace {

Order from_environment() {
  const char* variable = std::getenv("RHEO_SIMT_ORDER");
  const std::string words = variable ? variable : "forward";
  if (words == "forward") return forward;
  if (words == "reverse") return reverse;
  char* end = nullptr;
  if (words.rfind("random:", 0) == 0 && words.size() > 7) {
    const std::uint64_t seed = std::strtoull(words.c_str() + 7, &end, 10);
    if (*end == 0) return random(seed);
  }
  throw error("RHEO_SIMT_ORDER must be forward, reverse or random:<seed>; got '" + words + "'");
}

struct Choices {
  Order order;
  std::uint64_t state;
};

Choices& choices() {
  static const Order first = from_environment();
  static Choices now{first, first.seed};
  return now;
}

// splitmix64 (Steele, Lea & Flood 2014).
std::uint64_t mix(std::uint64_t& state) {
  std::uint64_t x = state += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

void set_order(Order order) {
  choices() = {order, order.seed};
}

std::uint32_t choose(std::uint32_t count) {
  Choices& now = choices();
  if (now.order.kind == Order::Kind::forward) return 0;
  if (now.order.kind == Order::Kind::reverse) return count - 1;
  return static_cast<std::uint32_t>(mix(now.state) % count);
}

std::string order_in_words() {
  const Order order = choices().order;
  if (order.kind == Order::Kind::forward) return "forward";
  if (order.kind == Order::Kind::reverse) return "reverse";
  return "random:" + std::to_string(order.seed);
}

}  // namespace simt
