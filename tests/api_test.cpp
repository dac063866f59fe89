#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/backend.h"
#include "rheo/rheo.h"
#include "src/model/impl.h"
#include "tests/support/devices.h"
#include "tests/support/errors.h"

namespace rheo::test {
namespace {

TEST(ApiTest, ConfigsComeBackFromJson) {
  ModelConfig c{.height = 16, .width = 24, .channels = 4, .levels = 3, .steps = 5, .hidden = 7};
  c.coupling = Coupling::additive, c.classes = 10, c.n_bits = 5, c.edge_bias = true;
  c.scale = Scale::bounded;
  EXPECT_EQ(ModelConfig::from_json(c.to_json()), c);
}

TEST(ApiTest, AConfigMayLeaveItsOptionalKeysOut) {
  const ModelConfig c = ModelConfig::from_json(
      R"({"model":"glow","height":32,"width":32,"channels":3,"levels":3,"steps":32,"hidden":512,
          "coupling":"affine","classes":0})");
  EXPECT_EQ(c, ModelConfig{});
}

TEST(ApiTest, ConfigsOfEveryFamilySurviveJson) {
  for (const Family family : {Family::realnvp, Family::nice, Family::maf, Family::iaf}) {
    ModelConfig c = ModelConfig::of_vectors(family, 7);
    c.permutation = Permutation::shuffle, c.prior = Prior::logistic, c.steps = 2, c.hidden = 6;
    EXPECT_EQ(ModelConfig::from_json(c.to_json()), c);
  }
  EXPECT_EQ(ModelConfig::from_json(R"({"model":"maf","dims":3})"),
            ModelConfig::of_vectors(Family::maf, 3));
  const std::string nice = ModelConfig::of_vectors(Family::nice, 3).to_json();
  EXPECT_EQ(nice.find("scale"), std::string::npos) << nice;
}

TEST(ApiTest, FamiliesHaveWords) {
  const auto names = family_names();
  ASSERT_EQ(names.size(), 5u);
  for (std::size_t i = 0; i < names.size(); ++i)
    EXPECT_EQ(family_name(static_cast<Family>(i)), names[i]);
  EXPECT_EQ(family_name(Family::realnvp), "realnvp");
  EXPECT_EQ(family_name(Family::iaf), "iaf");
}

TEST(ApiTest, AnAutoregressiveNetworkIsWideEnoughForItsNumbers) {
  const auto hidden = [](const std::string& model) {
    return ModelConfig::from_json(R"({"model":")" + model + R"("})").hidden;
  };
  EXPECT_EQ(hidden(R"(maf","dims":257,"prior":"gaussian)"), 256);
  EXPECT_EQ(hidden(R"(iaf","dims":1000,"prior":"gaussian)"), 999);
  EXPECT_EQ(hidden(R"(nice","dims":1000,"prior":"gaussian)"), 256);
  EXPECT_EQ(ModelConfig::of_vectors(Family::maf, 1000).hidden, 999);
}

TEST(ApiTest, ABadConfigOfEachFamilySaysWhatIsWrong) {
  const auto message = [](const char* json) {
    return error_of([&] { ModelConfig::from_json(json); });
  };
  for (const char* model : {R"({"model":"nice"})", R"({"model":"maf"})", R"({"model":"iaf"})"})
    EXPECT_EQ(message(model), "model config: key dims is missing");
  EXPECT_EQ(message(R"({"model":"realnvp"})"),
            "model config: key dims (of vectors) or height (of images) is missing");
  EXPECT_EQ(
      message(R"({"model":"glow","dims":4})"),
      "model config: glow takes images (height, width, channels, levels), not vectors of dims "
      "numbers");
  EXPECT_EQ(message(R"({"model":"nice","dims":4,"scale":"tanh"})"),
            "model config: scale is for affine couplings; nice has none");
  EXPECT_EQ(message(R"({"model":"maf","dims":4,"scale":"tanh"})"),
            "model config: scale is for affine couplings; maf has none");
  EXPECT_EQ(message(R"({"model":"maf","dims":10,"hidden":8})"),
            "model config: hidden of maf must be at least dims - 1 = 9; got 8");
  EXPECT_EQ(message(R"({"model":"iaf","dims":10,"hidden":9})"), "no error");
  EXPECT_EQ(message(R"({"model":"nice","dims":10,"hidden":1})"), "no error");
}

TEST(ApiTest, ABadConfigSaysWhatIsWrong) {
  const auto message = [](const std::string& change) {
    return error_of([&] {
      ModelConfig::from_json(
          R"({"model":"glow","height":32,"width":32,"channels":3,"levels":3,"steps":32,)"
          R"("coupling":"affine","classes":0,)" +
          change + "}");
    });
  };
  EXPECT_EQ(message(R"("hidden":8)"), "no error");
  EXPECT_EQ(message(R"("n_bits":8)"), "model config: key hidden is missing");
  EXPECT_EQ(message(R"("hidden":8,"Steps":1)"), "model config: unknown key \"Steps\"");
  EXPECT_EQ(message(R"("hidden":"8")"), "model config: hidden must be a whole number; got \"8\"");
  EXPECT_EQ(message(R"("hidden":100000001)"),
            "model config: hidden must be 1..8192; got 100000001");
  EXPECT_EQ(message(R"("hidden":2147483648)"),
            "model config: hidden must be a whole number below 2^31 in size; got 2147483648");
  EXPECT_EQ(message(R"("hidden":-2147483648)"),
            "model config: hidden must be a whole number below 2^31 in size; got -2147483648");
  EXPECT_EQ(message(R"("hidden":8,"n_bits":9)"), "model config: n_bits must be 1..8; got 9");
  EXPECT_EQ(message(R"("hidden":8,"edge_bias":1)"),
            "model config: edge_bias must be true or false; got 1");
  EXPECT_EQ(message(R"("hidden":8,"scale":"exp")"),
            "model config: scale must be sigmoid2, bounded or tanh; got \"exp\"");
  EXPECT_EQ(message(R"("hidden":8,"permutation":"swap")"),
            "model config: permutation must be lu, reverse or shuffle; got \"swap\"");
  EXPECT_EQ(message(R"("hidden":8,"prior":"logistic")"), "model config: unknown key \"prior\"");
}

TEST(ApiTest, DevicesAreFoundByName) {
  EXPECT_EQ(Device::from_name("cpu", 2).threads(), 2);
  EXPECT_EQ(error_of([] { Device::from_name("gpu"); }),
            "Device: must be auto, cpu, cuda or cuda:N; got gpu");
  EXPECT_EQ(error_of([] { Device::cpu(-1); }), "Device::cpu: threads must be 0..256; got -1");
}

TEST(ApiTest, AutomaticPrecisionIsBf16WhereTheDeviceHasIt) {
  const ModelConfig config{.height = 4, .width = 4, .levels = 1, .steps = 1, .hidden = 4};
  const auto resolved = [&](const Device& device) {
    return Model(config, 0, {.device = device}).compute().precision;
  };
  for (const Device& device : devices())
    EXPECT_EQ(resolved(device), device.backend().has_bf16() ? Precision::bf16 : Precision::f32);
  Backend older = cpu_backend();
  older.has_bf16 = [] { return false; };
  const Device without = DeviceAccess::of(older);
  EXPECT_EQ(resolved(without), Precision::f32);
  EXPECT_NE(error_of([&] {
              Model(config, 0, {.device = without, .precision = Precision::bf16});
            }).find("precision bf16 needs"),
            std::string::npos);
}

TEST(ApiTest, CentredNoiseGivesEveryPixelBack) {
  Pixels pixels{{1, 16, 16, 1}, std::vector<std::uint8_t>(256)};
  std::iota(pixels.data.begin(), pixels.data.end(), std::uint8_t{0});
  EXPECT_EQ(quantize(dequantize(pixels, 8, Noise::at_centre()), 8).data, pixels.data);
  const Tensor x = dequantize(pixels, 8, Noise::at_centre());
  EXPECT_EQ(x.data[0], 0.5f / 256 - 0.5f);
}

TEST(ApiTest, NoiseOfAnImageDoesNotDependOnItsBatch) {
  const Pixels pixels{{3, 2, 2, 1}, std::vector<std::uint8_t>(12, 100)};
  const Pixels last{{1, 2, 2, 1}, std::vector<std::uint8_t>(4, 100)};
  const Tensor all = dequantize(pixels, 8, Noise::uniform(5), 10);
  const Tensor one = dequantize(last, 8, Noise::uniform(5), 12);
  EXPECT_TRUE(std::equal(one.data.begin(), one.data.end(), all.data.begin() + 8));
  EXPECT_NE(dequantize(last, 8, Noise::uniform(6), 12).data, one.data);
}

TEST(ApiTest, WhatIsNotFiniteIsAnErrorNotAPixel) {
  EXPECT_EQ(error_of([] {
              quantize({{1, 1, 1, 1}, {INFINITY}}, 8);
            }),
            "quantize: value 0 is infinite, no pixel");
  EXPECT_EQ(error_of([] {
              quantize({{1, 1, 1, 2}, {0.f, NAN}}, 8);
            }),
            "quantize: value 1 is NaN, no pixel");
}

TEST(ApiTest, BitsPerDimCountsPixelsNotNumbers) {
  // A density of 1 on the unit cube of x is 2^-8 a pixel value: 8 bits.
  EXPECT_DOUBLE_EQ(bits_per_dim(0, 12, 8), 8);
  EXPECT_DOUBLE_EQ(bits_per_dim(12 * std::log(32.), 12, 5), 0);
}

TEST(ApiTest, StatesAreSeenInTheRoomOfScoring) {
  Model model(ModelConfig::of_vectors(Family::realnvp, 3), 1);
  const Tensor x{{5, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 3, 5, 7, 9, 2}};
  const Tensor there = model.encode_steps(x, 2);
  const Model::Impl& impl = model.impl();
  EXPECT_EQ(impl.queue.held(), impl.weight_bytes() + impl.batch_bytes(5).all() +
                                   impl.activation_bytes(5, Keep::nothing));
  const Tensor latents = model.encode(x);
  EXPECT_EQ(model.encode_steps(x, 2).data, there.data);
  EXPECT_EQ(model.encode(x).data, latents.data);  // what was recorded of it has not been disturbed
  EXPECT_EQ(model.decode_steps(latents, 0).data, model.encode_steps(x, 4).data);
}

TEST(ApiTest, TheCouplingAloneIsItsFormula) {
  const Device cpu = Device::cpu(1);
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};               // [2, 1, 1, 4]
  const std::vector<float> net = {.1f, .2f, -1, 3, -.3f, .4f, 0, 30};  // shift, raw
  std::vector<float> y(8), log_det(2), back(8);
  CouplingCall call{.count = 2,
                    .height = 1,
                    .width = 1,
                    .channels = 4,
                    .coupling = Coupling::affine,
                    .scale = Scale::sigmoid2,
                    .network = net.data(),
                    .from = x.data(),
                    .to = y.data(),
                    .log_det = log_det.data()};
  ASSERT_EQ(coupling_partials(1, 1), 1);
  coupling_forward(cpu, call, nullptr);
  for (int n = 0; n < 2; ++n) {
    double sum = 0;
    for (int c = 0; c < 2; ++c) {
      const double s = 1 / (1 + std::exp(-(net[n * 4 + 2 + c] + 2.0)));
      EXPECT_EQ(y[n * 4 + c], x[n * 4 + c]);
      EXPECT_NEAR(y[n * 4 + 2 + c], (x[n * 4 + 2 + c] + net[n * 4 + c]) * s, 1e-5);
      sum += std::log(s);
    }
    EXPECT_NEAR(log_det[n], sum, 1e-6);
  }
  std::vector<double> sums(2);
  log_det_sum(cpu, log_det.data(), 2, 1, sums.data(), nullptr);
  EXPECT_EQ(sums[1], static_cast<double>(log_det[1]));
  call.from = y.data(), call.to = back.data();
  coupling_inverse(cpu, call, nullptr);
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(back[i], x[i], 1e-5);
}

TEST(ApiTest, TheMixAloneIsAMatrixAndItsInverse) {
  const Device cpu = Device::cpu(1);
  const std::vector<float> m = {2, 1, 0, 4}, inverse = {.5f, -.125f, 0, .25f}, b = {1, -1};
  const std::vector<float> x = {3, 5, -2, 0};
  std::vector<float> y(4), back(4);
  mix_forward(cpu, {2, 2, m.data(), b.data(), x.data(), y.data()}, nullptr);
  EXPECT_EQ(y, (std::vector<float>{12, 16, -3, -4}));
  mix_inverse(cpu, {2, 2, inverse.data(), b.data(), y.data(), back.data()}, nullptr);
  EXPECT_EQ(back, x);
}

TEST(ApiTest, TheKernelsRefuseWhatTheyCannotDo) {
  const Device cpu = Device::cpu(1);
  std::vector<float> some(16);
  CouplingCall call{.count = 1,
                    .height = 1,
                    .width = 1,
                    .channels = 3,
                    .coupling = Coupling::affine,
                    .scale = Scale::bounded,
                    .network = some.data(),
                    .from = some.data(),
                    .to = some.data(),
                    .log_det = some.data()};
  EXPECT_EQ(error_of([&] { coupling_forward(cpu, call, nullptr); }),
            "coupling_forward: channels must be even; got 3");
  call.channels = 4, call.network = nullptr;
  EXPECT_EQ(error_of([&] { coupling_inverse(cpu, call, nullptr); }),
            "coupling_inverse: network must not be null");
  EXPECT_NE(error_of([&] {
              mix_forward(cpu, {-1, 2, nullptr, nullptr, nullptr, nullptr}, nullptr);
            }),
            "no error");
}

}  // namespace
}  // namespace rheo::test
