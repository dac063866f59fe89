// The coupling network of a model on a real GPU against cuDNN's convolutions, which share no code
// with ours: a second oracle at widths for which the double-precision one takes too long.

#include <cudnn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "src/arena.h"
#include "tests/reference/image.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

void check(cudnnStatus_t status) {
  ASSERT_EQ(status, CUDNN_STATUS_SUCCESS) << cudnnGetErrorString(status);
}

/// Images [N, C, H, W], as cuDNN has all its kernels for.
struct Maps {
  int count, channels, height, width;
  std::vector<float> values;

  float& at(int n, int c, int i, int j) {
    return values[((std::int64_t{n} * channels + c) * height + i) * width + j];
  }
};

class Convolution {
 public:
  explicit Convolution(const Device& device) : queue_(device) {
    check(cudnnCreate(&handle_));
    check(cudnnCreateTensorDescriptor(&from_));
    check(cudnnCreateTensorDescriptor(&to_));
    check(cudnnCreateFilterDescriptor(&filter_));
    check(cudnnCreateConvolutionDescriptor(&convolution_));
  }

  ~Convolution() {
    cudnnDestroyConvolutionDescriptor(convolution_);
    cudnnDestroyFilterDescriptor(filter_);
    cudnnDestroyTensorDescriptor(to_);
    cudnnDestroyTensorDescriptor(from_);
    cudnnDestroy(handle_);
  }

  Convolution(const Convolution&) = delete;
  Convolution& operator=(const Convolution&) = delete;

  /// `weight` [out, in, side, side], zero-padded so that sizes stay.
  Maps operator()(const Maps& x, const std::vector<float>& weight, int out, int side) {
    Maps y{x.count, out, x.height, x.width, {}};
    y.values.resize(std::size_t(x.count) * out * x.height * x.width);
    describe(from_, x);
    describe(to_, y);
    check(cudnnSetFilter4dDescriptor(filter_, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, out, x.channels,
                                     side, side));
    check(cudnnSetConvolution2dDescriptor(convolution_, side / 2, side / 2, 1, 1, 1, 1,
                                          CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    check(cudnnSetConvolutionMathType(convolution_, CUDNN_FMA_MATH));  // no TF32
    const DeviceBuffer on_x = put(x.values), on_weight = put(weight), on_y = put(y.values);
    queue_.synchronize();
    constexpr auto kPlain = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
    std::size_t bytes = 0;
    check(cudnnGetConvolutionForwardWorkspaceSize(handle_, from_, filter_, convolution_, to_,
                                                  kPlain, &bytes));
    const DeviceBuffer workspace(queue_, std::max<std::size_t>(bytes, 16), "test");
    const float one = 1, zero = 0;
    check(cudnnConvolutionForward(handle_, &one, from_, on_x.as<void>(), filter_,
                                  on_weight.as<void>(), convolution_, kPlain, workspace.as<void>(),
                                  bytes, &zero, to_, on_y.as<void>()));
    queue_.backend().synchronize(nullptr);  // cuDNN's stream
    on_y.download(y.values.data(), on_y.bytes());
    return y;
  }

 private:
  static void describe(cudnnTensorDescriptor_t tensor, const Maps& maps) {
    check(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, maps.count,
                                     maps.channels, maps.height, maps.width));
  }

  DeviceBuffer put(const std::vector<float>& values) const {
    DeviceBuffer buffer(queue_, values.size() * sizeof(float), "test");
    buffer.upload(values.data(), buffer.bytes());
    return buffer;
  }

  Queue queue_;
  cudnnHandle_t handle_ = nullptr;
  cudnnTensorDescriptor_t from_ = nullptr, to_ = nullptr;
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

/// The model's only step, whose mix and prior do nothing: what is encoded is the coupling's output.
void leave_only_the_coupling(Model& model) {
  for (const ParameterInfo& tensor : model.impl().layout.tensors) {
    if (tensor.name.find(".coupling.") != std::string::npos) continue;
    std::vector<float> values(static_cast<std::size_t>(tensor.size));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (tensor.kind == ParameterInfo::Kind::sign) values[i] = 1;
      if (tensor.kind == ParameterInfo::Kind::permutation) values[i] = static_cast<float>(i);
    }
    model.impl().write(tensor, values);
  }
}

class Network {
 public:
  Network(const Model& model, Convolution& convolution) : model_(model), convolve_(convolution) {}

  /// docs/model.md, "net".
  Maps operator()(const Maps& a) {
    return layer(layer(layer(a, 1, 3, true), 2, 1, true), 3, 3, false);
  }

 private:
  std::vector<float> values(const std::string& name) const {
    const auto& tensors = model_.impl().layout.tensors;
    const std::string whole = "levels.0.steps.0.coupling." + name;
    return model_.impl().read(*std::find_if(
        tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == whole; }));
  }

  Maps layer(const Maps& x, int number, int side, bool relu) {
    const std::string conv = "conv" + std::to_string(number);
    const auto weight = values(conv + ".weight"), bias = values(conv + ".bias"),
               log_scale = values(conv + ".log_scale");
    const int out = static_cast<int>(bias.size()), taps = side * side;
    std::vector<float> turned(weight.size());  // from [out, y, x, in]
    for (int o = 0; o < out; ++o)
      for (int t = 0; t < taps; ++t)
        for (int c = 0; c < x.channels; ++c)
          turned[(o * x.channels + c) * taps + t] = weight[(o * taps + t) * x.channels + c];
    Maps y = convolve_(x, turned, out, side);
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      const std::size_t o = i / (std::size_t(y.height) * y.width) % out;
      const float scale = std::exp((relu ? 1.f : 3.f) * log_scale[o]);
      y.values[i] = (y.values[i] + bias[o]) * scale;
      if (relu) y.values[i] = std::max(0.f, y.values[i]);
    }
    return y;
  }

  const Model& model_;
  Convolution& convolve_;
};

/// Squeezed images, and their first halves for the network.
std::vector<reference::Image> squeezed(const Tensor& x) {
  const auto h = static_cast<int>(x.shape[1]), w = static_cast<int>(x.shape[2]);
  const auto c = static_cast<int>(x.shape[3]);
  std::vector<reference::Image> all;
  for (auto from = x.data.begin(); from != x.data.end(); from += h * w * c) {
    reference::Image image(h, w, c);
    std::copy_n(from, h * w * c, image.values.begin());
    all.push_back(reference::squeeze(image));
  }
  return all;
}

Maps first_halves(const std::vector<reference::Image>& images) {
  const reference::Image& one = images[0];
  const int half = one.channels / 2;
  Maps maps{static_cast<int>(images.size()), half, one.height, one.width, {}};
  maps.values.resize(images.size() * half * one.height * one.width);
  for (int n = 0; n < maps.count; ++n)
    for (int c = 0; c < half; ++c)
      for (int i = 0; i < one.height; ++i)
        for (int j = 0; j < one.width; ++j)
          maps.at(n, c, i, j) = static_cast<float>(images[n].at(i, j, c));
  return maps;
}

/// `config` gives the sizes of a model of one additive step.
void expect_same(ModelConfig config, int count) {
  config.levels = config.steps = 1;
  config.coupling = Coupling::additive;
  const Device device = Device::cuda();
  Model model = random_model(config, f32(device));
  leave_only_the_coupling(model);
  const Tensor x = noise_images(config, count);
  const Tensor latents = model.encode(x);
  const auto images = squeezed(x);
  Convolution convolution(device);
  Maps shift = Network(model, convolution)(first_halves(images));
  float largest = 0, farthest = 0;
  const int channels = images[0].channels, half = channels / 2;
  for (int n = 0; n < count; ++n)
    for (int i = 0; i < shift.height; ++i)
      for (int j = 0; j < shift.width; ++j)
        for (int c = 0; c < channels; ++c) {
          const auto at = ((std::int64_t{n} * shift.height + i) * shift.width + j) * channels + c;
          const float moved = c < half ? 0 : shift.at(n, c - half, i, j);
          const float want = static_cast<float>(images[n].at(i, j, c)) + moved;
          largest = std::max(largest, std::abs(want));
          farthest = std::max(farthest, std::abs(latents.data[at] - want));
        }
  // Sums of up to 9 * 512 products in float32, in two orders.
  EXPECT_LT(farthest, 2e-5f * largest);
  EXPECT_GT(*std::max_element(shift.values.begin(), shift.values.end()), 0.1f);
}

class CudnnTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      Device::cuda();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

TEST_F(CudnnTest, ANetworkOfThePapersSize) {
  expect_same({.height = 32, .width = 32, .channels = 3, .hidden = 512}, 8);
}

TEST_F(CudnnTest, ANetworkOfSmallAndOddSizes) {
  expect_same({.height = 10, .width = 6, .channels = 1, .hidden = 37}, 3);
}

}  // namespace
}  // namespace rheo::test
