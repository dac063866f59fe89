#pragma once

#include <vector>

#include "tests/reference/weights.h"
#include "tests/support/backends.h"
#include "tests/support/cases.h"
#include "tests/support/folds.h"

namespace rheo::test {

/// The arguments of weights_prepare, and the values that they are made of.
struct Prepared : reference::MixConstants {
  WeightsArgs args;
  reference::Values parameters;
};

/// What parameters hold that must not be looked at: outside their triangle, or masked.
enum class Ignored { as_drawn, nan };

/// All but the outputs.
Prepared make_weights(Arena& arena, const Folds& f, double deviation = 0.4,
                      Ignored ignored = Ignored::as_drawn);

void add_outputs(Arena& arena, const Folds& f, void* packed, WeightsArgs& a);

/// Folds that weights_prepare has been called for.
class OnFolds : public OnBackend {
 protected:
  void start(Folds folds, Ignored ignored = Ignored::as_drawn);

  reference::Values folded();

  /// Value i of what is packed so many bytes from the start.
  double packed(Dtype type, std::int64_t bytes, std::int64_t i);

  /// Of weights_prepare_backward, with the gradients of `functional`; compares them with its
  /// differences, and expects nothing to be written between so many tensors.
  std::vector<float> expect_slopes(int tensors);

  Arena arena_{backend()};
  Folds folds_;
  Prepared made_;

 private:
  /// What the gradients of weights_prepare_backward are of: random weights on every folded value,
  /// and for each mix a pixel's dy . M (z + bias), of which G and the sum are made.
  double functional(const reference::Values& parameters);
  /// dfolded with G and the sum of the functional's pixel.
  std::vector<float> incoming();

  static constexpr double kWeight = -0.7;
  reference::Values dy_, z_, dfolded_, dpacked_;
};

}  // namespace rheo::test
