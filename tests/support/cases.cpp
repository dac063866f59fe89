#include "tests/support/cases.h"

#include <gtest/gtest.h>

#include <cstring>

namespace rheo::test {
namespace {

constexpr std::size_t kGuard = 64;  // bytes: a whole vector that a loop could write too much
constexpr char kGuardByte = 0x5c;

template <class T>
T value_at(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

Bf16 to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t kept = bits >> 16, rest = bits & 0xffffu;
  // To the nearest, halves to even. The inputs of tests are finite.
  return {static_cast<std::uint16_t>(kept + (rest > 0x8000u || (rest == 0x8000u && kept % 2)))};
}

float from_bf16(Bf16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

Arena::~Arena() {
  for (const Piece& piece : pieces_) backend_->release(piece.data);
}

std::vector<float> Arena::normal(std::int64_t count, double deviation) {
  std::normal_distribution<double> draw(0, deviation);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(draw(bits_));
  return values;
}

Bf16* Arena::in_bf16(std::int64_t count, double deviation) {
  std::vector<Bf16> values;
  for (float value : normal(count, deviation)) values.push_back(to_bf16(value));
  return in(values);
}

void* Arena::in(Dtype type, std::int64_t count, double deviation) {
  if (type == Dtype::f32) return in(count, deviation);
  return in_bf16(count, deviation);
}

void* Arena::out(Dtype type, std::int64_t count, double unused) {
  if (type == Dtype::f32) return out<float>(count, unused);
  return out<Bf16>(count, unused);
}

void* Arena::add(Piece piece, const void* values) {
  const std::size_t bytes = piece.size * piece.count;
  piece.before.assign(bytes + kGuard, kGuardByte);
  if (bytes) std::memcpy(piece.before.data(), values, bytes);
  piece.data = static_cast<char*>(backend_->allocate(bytes + kGuard));
  backend_->copy(piece.data, piece.before.data(), bytes + kGuard, nullptr);
  backend_->synchronize(nullptr);
  pieces_.push_back(std::move(piece));
  return pieces_.back().data;
}

void Arena::download(void* to, const void* from, std::size_t bytes) const {
  backend_->copy(to, from, bytes, nullptr);
  backend_->synchronize(nullptr);
}

void Arena::append(const Piece& piece, const char* at, std::vector<double>& to) {
  switch (piece.type) {
    case Type::f32:
      return to.push_back(static_cast<double>(value_at<float>(at)));
    case Type::f64:
      return to.push_back(value_at<double>(at));
    case Type::i32:
      return to.push_back(value_at<int>(at));
    case Type::i64:
      return to.push_back(static_cast<double>(value_at<std::int64_t>(at)));
    case Type::u8:
      return to.push_back(value_at<std::uint8_t>(at));
    case Type::bf16:
      return to.push_back(static_cast<double>(from_bf16(value_at<Bf16>(at))));
    case Type::adam_control: {
      const auto c = value_at<AdamControl>(at);
      to.insert(to.end(), {c.learning_rate, c.norm, static_cast<double>(c.updates),
                           static_cast<double>(c.skip)});
      return;
    }
    case Type::other:
      FAIL() << "an output of a type without a number";
  }
}

std::vector<Output> Arena::results() const {
  std::vector<Output> outputs;
  for (std::size_t p = 0; p < pieces_.size(); ++p) {
    const Piece& piece = pieces_[p];
    std::vector<char> after(piece.before.size());
    download(after.data(), piece.data, after.size());
    const std::size_t bytes = piece.size * piece.count;
    EXPECT_EQ(std::memcmp(after.data() + bytes, piece.before.data() + bytes, kGuard), 0)
        << "written behind the end of argument " << p;
    if (piece.role == Role::input) {
      EXPECT_EQ(std::memcmp(after.data(), piece.before.data(), bytes), 0)
          << "input " << p << " was written to";
    }
    if (piece.role != Role::output) continue;
    Output output{{}, piece.type == Type::bf16, piece.unused};
    for (std::size_t i = 0; i < piece.count; ++i)
      append(piece, after.data() + i * piece.size, output.values);
    outputs.push_back(std::move(output));
  }
  return outputs;
}

}  // namespace rheo::test
