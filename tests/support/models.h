#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "rheo/rheo.h"
#include "src/model/impl.h"

namespace rheo::test {

/// f() must throw an Error with this code and this very text.
template <class F>
void expect_error(const F& f, Errc code, const std::string& text) {
  try {
    f();
    FAIL() << "no error; wanted: " << text;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(std::string(e.what()), text);
  }
}

inline ModelConfig small(int levels = 2) {
  return {.height = 8, .width = 12, .channels = 3, .levels = levels, .steps = 2, .hidden = 11};
}

/// Images, or vectors where the model takes these.
inline Tensor noise_images(const ModelConfig& c, std::int64_t count, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(0, 255);
  Pixels pixels{{count, c.height, c.width, c.channels}, {}};
  for (std::int64_t i = 0; i < count * c.dims(); ++i)
    pixels.data.push_back(static_cast<std::uint8_t>(value(random)));
  Tensor x = dequantize(pixels, c.n_bits, Noise::uniform(seed));
  if (c.is_vector()) x.shape = {count, c.channels};
  return x;
}

/// What bounds of float32 roundings are for, whatever this processor has.
inline Compute f32(const Device& device = Device::cpu()) {
  return {.device = device, .precision = Precision::f32};
}

/// Moves every parameter by a little, so that nothing is zero or the identity.
inline void move_parameters(Model& model, float deviation) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, deviation);
  for (const ParameterInfo& tensor : model.impl().layout.tensors) {
    if (tensor.kind != ParameterInfo::Kind::trainable) continue;
    std::vector<float> values = model.impl().read(tensor);
    for (float& value : values) value += normal(random);
    model.impl().write(tensor, values);
  }
}

/// A model with every parameter random; by little, so that its inverse stays tame.
inline Model random_model(const ModelConfig& c, const Compute& compute = f32()) {
  Model model(c, 5, compute);
  model.initialize(noise_images(c, 16));
  move_parameters(model, 0.02f);
  return model;
}

}  // namespace rheo::test
