#pragma once

// Arguments of operations in a backend's memory, and the shapes that operations are tried on.

#include <cstddef>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/backend.h"

namespace rheo::test {

/// The upper half of a float32.
struct Bf16 {
  std::uint16_t bits;
};

Bf16 to_bf16(float x);
float from_bf16(Bf16 x);

/// What outputs hold before the operation: a value that none computes, exact in every type.
constexpr float kSentinel = -7776.f;

/// What came of one output.
struct Output {
  std::vector<double> values;
  bool bf16;      // good to a bf16 ulp only
  double unused;  // share of it that may rightly stay as it was, or zero
};

/// A backend's memory for the arguments of one call. Every piece ends in a guard, and operations
/// may not write to inputs: results() looks after both.
class Arena {
 public:
  explicit Arena(const Backend& backend) : backend_(&backend) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  const Backend& backend() const { return *backend_; }

  /// An input.
  template <class T>
  T* in(const std::vector<T>& values) {
    return static_cast<T*>(
        add({Role::input, sizeof(T), values.size(), type_of<T>(), 0, {}, {}}, values.data()));
  }

  /// N(0, deviation^2), the same on every backend.
  float* in(std::int64_t count, double deviation = 1) { return in(normal(count, deviation)); }
  Bf16* in_bf16(std::int64_t count, double deviation = 1);
  void* in(Dtype type, std::int64_t count, double deviation = 1);

  /// Values of N(0, deviation^2), still the host's.
  std::vector<float> normal(std::int64_t count, double deviation = 1);

  /// An output that holds values to begin with.
  template <class T>
  T* inout(const std::vector<T>& values, double unused = kMaxUnused) {
    return static_cast<T*>(
        add({Role::output, sizeof(T), values.size(), type_of<T>(), unused, {}, {}}, values.data()));
  }

  template <class T>
  T* out(std::int64_t count, double unused = kMaxUnused) {
    return inout(std::vector<T>(static_cast<std::size_t>(count), sentinel<T>()), unused);
  }
  void* out(Dtype type, std::int64_t count, double unused = kMaxUnused);

  /// An output whose values are the operation's own affair.
  template <class T>
  T* workspace(std::int64_t count) {
    const std::vector<T> values(static_cast<std::size_t>(count), sentinel<T>());
    return static_cast<T*>(
        add({Role::workspace, sizeof(T), values.size(), Type::other, 0, {}, {}}, values.data()));
  }

  template <class T>
  std::vector<T> read(const T* data, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(count));
    download(values.data(), data, values.size() * sizeof(T));
    return values;
  }

  /// All outputs, in the order in which they were made. Fails the test where a guard was
  /// overwritten or an input changed.
  std::vector<Output> results() const;

 private:
  enum class Role { input, output, workspace };
  enum class Type { f32, f64, i32, i64, u8, bf16, adam_control, other };
  static constexpr double kMaxUnused = 0.3;
  struct Piece {
    Role role;
    std::size_t size, count;
    Type type;
    double unused;
    std::vector<char> before;  // with the guard
    char* data;
  };

  template <class T>
  static constexpr Type type_of() {
    if (std::is_same_v<T, float>) return Type::f32;
    if (std::is_same_v<T, double>) return Type::f64;
    if (std::is_same_v<T, int>) return Type::i32;
    if (std::is_same_v<T, std::int64_t>) return Type::i64;
    if (std::is_same_v<T, std::uint8_t>) return Type::u8;
    if (std::is_same_v<T, Bf16>) return Type::bf16;
    if (std::is_same_v<T, AdamControl>) return Type::adam_control;
    return Type::other;
  }
  template <class T>
  static T sentinel() {
    if constexpr (std::is_same_v<T, Bf16>) return to_bf16(kSentinel);
    if constexpr (std::is_same_v<T, std::uint8_t>) return 0xa5;
    if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(kSentinel);
  }
  static void append(const Piece& piece, const char* bytes, std::vector<double>& to);

  void* add(Piece piece, const void* values);
  void download(void* to, const void* from, std::size_t bytes) const;

  const Backend* backend_;
  std::mt19937_64 bits_{7};
  std::vector<Piece> pieces_;
};

/// One way to call an operation: a batch of images, and which of the operation's options it takes.
struct CaseShape {
  std::int64_t count;
  int height, width, channels;
  int option = 0;  // below kOptions

  Grid grid() const { return {count, height, width}; }
  std::int64_t pixels() const { return grid().pixels(); }
};

constexpr int kOptions = 4;

/// One pixel; odd sizes; no image; one large image; channels that loops are unrolled for (4, 12,
/// 24, 48) and some that they are not (6 of a half of 3, 20, 130); several tiles an image, of which
/// the last ends inside; rows of pixels wider than a tile; many images.
constexpr CaseShape kCaseShapes[] = {{1, 1, 1, 4},  {3, 5, 7, 12},  {0, 4, 4, 12},  {1, 24, 40, 12},
                                     {2, 8, 8, 24}, {1, 4, 4, 48},  {2, 9, 15, 20}, {4, 3, 11, 6},
                                     {2, 1, 70, 4}, {1, 3, 70, 24}, {1, 5, 5, 130}, {300, 1, 2, 6}};

// Each defined in its family's test.
#define RHEO_OP(op, Args) Args op##_case(Arena& arena, const CaseShape& shape);
#include "kernels/ops.def"
#undef RHEO_OP

}  // namespace rheo::test
