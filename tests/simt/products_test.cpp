// How the products of the CUDA backend ask cuBLASLt, and what they do where it has no algorithm; on
// the emulator, whose cuBLASLt can be told what it has. tests/linear_test.cpp says what they
// compute.

#include <cublasLt.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "cuda_bf16.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/operations.h"
#include "simt/blas.h"
#include "simt/control.h"

namespace rheo::cuda {
namespace {

/// The backend's memory.
template <class T>
class Array {
 public:
  explicit Array(const std::vector<T>& values)
      : size_(values.size()), data_(static_cast<T*>(backend.allocate(bytes()))) {
    backend.copy(data_, values.data(), bytes(), nullptr);
    backend.synchronize(nullptr);
  }
  Array(std::int64_t size, T value) : Array(std::vector<T>(size, value)) {}
  ~Array() { backend.release(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    backend.copy(values.data(), data_, bytes(), nullptr);
    backend.synchronize(nullptr);
    return values;
  }

 private:
  std::size_t bytes() const { return size_ * sizeof(T); }

  std::size_t size_;
  T* data_;
};

/// Exact in bf16, and so are their products; sums of them are exact in float32.
std::vector<float> integers(std::int64_t count) {
  static std::mt19937 bits(5);
  std::uniform_int_distribution<int> draw(-3, 3);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(draw(bits));
  return values;
}

std::vector<__nv_bfloat16> halves(const std::vector<float>& values) {
  std::vector<__nv_bfloat16> result;
  for (float value : values) result.push_back(__float2bfloat16_rn(value));
  return result;
}

class ProductsTest : public testing::Test {
 protected:
  ProductsTest() { simt::set_blas(simt::Blas::everything); }
  ~ProductsTest() override { simt::set_blas(simt::Blas::everything); }

  /// What f adds to the calls.
  template <class F>
  simt::BlasCalls calls_of(const F& f) {
    const simt::BlasCalls before = simt::blas_calls();
    f();
    const simt::BlasCalls after = simt::blas_calls();
    return {after.products - before.products, after.configured - before.configured,
            after.questions - before.questions};
  }

  /// A layer of float32 without bias and ReLU.
  simt::BlasCalls run_layer(std::int64_t rows, int in, int out) {
    const Array<float> x(integers(rows * in)), w(integers(std::int64_t{in} * out));
    const Array<float> y(rows * out, 7.f);
    return calls_of([&] {
      linear_forward({rows, in, out, Dtype::f32, x.data(), w.data(), nullptr, nullptr, false,
                      Dtype::f32, y.data(), nullptr},
                     nullptr);
      backend.synchronize(nullptr);
    });
  }
};

TEST_F(ProductsTest, CuBlasLtIsAskedOnceForAShape) {
  EXPECT_EQ(run_layer(11, 19, 13).questions, 1);
  const simt::BlasCalls again = run_layer(11, 19, 13);
  EXPECT_EQ(again.questions, 0);
  EXPECT_EQ(again.products, 1);
  EXPECT_EQ(run_layer(12, 19, 13).questions, 1);
}

/// What is chosen where bias and mask happen to lie on 256 bytes has to do where they do not.
TEST_F(ProductsTest, APlanIsForAllThatLieAsTheKeySays) {
  constexpr int kOut = 21, kBehind = 4;  // floats: 16 bytes
  const Array<float> x(integers(10 * 6)), w(integers(6 * kOut)), y(10 * kOut, 7.f);
  const Array<float> bias(kOut + kBehind, 0.f), mask(10 * 4 + kBehind, 0.f);
  const simt::BlasCalls calls = calls_of([&] {
    for (int behind : {0, kBehind})
      linear_forward({10, 6, kOut, Dtype::f32, x.data(), w.data(), nullptr, bias.data() + behind,
                      true, Dtype::f32, y.data(), mask.data() + behind},
                     nullptr);
    backend.synchronize(nullptr);
  });
  EXPECT_EQ(calls.questions, 1);
  EXPECT_EQ(calls.products, 2);
}

/// The emulator's line of algorithms.def.
TEST_F(ProductsTest, AMeasuredAlgorithmComesBeforeASuggestedOne) {
  EXPECT_EQ(run_layer(105, 64, 44).configured, 1);
  EXPECT_EQ(run_layer(106, 64, 44).configured, 0);
}

/// More sums than the scratch memory holds at a time: in two parts, the second of them smaller.
TEST_F(ProductsTest, WhatIsFinishedByOurselvesIsRoundedOnce) {
  simt::set_blas(simt::Blas::no_epilogues);
  constexpr std::int64_t kRows = 600;
  constexpr int kIn = 3, kOut = 2048;
  // Sums of more bits than bf16 has, which a bias then brings into its reach.
  const std::vector<float> x = integers(kRows * kIn);
  std::vector<float> w = integers(kIn * kOut), bias = integers(kOut);
  for (float& value : w) value *= 85;
  for (float& value : bias) value *= 128;
  const Array<__nv_bfloat16> x_at(halves(x)), w_at(halves(w)), bias_at(halves(bias));
  const Array<__nv_bfloat16> y(kRows * kOut, __nv_bfloat16{0x4040});
  linear_forward({kRows, kIn, kOut, Dtype::bf16, x_at.data(), w_at.data(), nullptr, bias_at.data(),
                  true, Dtype::bf16, y.data(), nullptr},
                 nullptr);
  const std::vector<__nv_bfloat16> got = y.read();
  for (std::int64_t r = 0; r < kRows; ++r)
    for (int o = 0; o < kOut; ++o) {
      float sum = bias[o];
      for (int i = 0; i < kIn; ++i) sum += x[r * kIn + i] * w[o * kIn + i];
      ASSERT_EQ(got[r * kOut + o].bits, __float2bfloat16_rn(sum > 0 ? sum : 0).bits)
          << r << ", " << o;
    }
}

/// So many rows that parts of a column's sum have more than the fewest.
TEST_F(ProductsTest, TheGradientOfABiasTakesEveryRowOnce) {
  constexpr std::int64_t kRows = 20011;
  for (int out : {3, 8}) {
    const std::vector<float> dy = integers(kRows * out);
    const Array<float> dy_at(dy), x(integers(kRows)), dw(out, 0.f), db(out, 5.f);
    linear_backward_weights(
        {kRows, 1, out, Dtype::f32, dy_at.data(), x.data(), dw.data(), db.data()}, nullptr);
    std::vector<float> want(out, 5.f);
    for (std::int64_t i = 0; i < kRows * out; ++i) want[i % out] += dy[i];
    EXPECT_EQ(db.read(), want);
  }
}

TEST_F(ProductsTest, ARecordedProductAddsAgainWhenItIsReplayed) {
  const Stream stream = backend.open(true);
  struct Work {
    Array<float> x{integers(9 * 5)}, dy{integers(9 * 7)}, dw{5 * 7, 0.f}, db{7, 0.f};
    Stream stream;
  } work;
  work.stream = stream;
  const auto add = [](void* what) {
    const auto& w = *static_cast<Work*>(what);
    linear_backward_weights(
        {9, 5, 7, Dtype::f32, w.dy.data(), w.x.data(), w.dw.data(), w.db.data()}, w.stream);
  };
  const auto result = [&] {
    backend.synchronize(stream);
    std::vector<float> values = work.dw.read();
    for (float value : work.db.read()) values.push_back(value);
    return values;
  };
  add(&work);  // which chooses the algorithm
  const std::vector<float> once = result();
  EXPECT_NE(once, std::vector<float>(once.size(), 0.f));
  Recording* recording = backend.record(stream, add, &work);
  for (float times : {2.f, 3.f}) {
    backend.replay(recording, stream);
    std::vector<float> want = once;
    for (float& value : want) value *= times;
    EXPECT_EQ(result(), want);
  }
  backend.forget(recording);
  backend.close(stream);
}

/// What a GPU might answer with wrong numbers is an error here.
class CuBlasLtTest : public ProductsTest {
 protected:
  CuBlasLtTest() {
    cublasLtMatmulDescInit(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutInit(&a_, CUDA_R_32F, 4, 6, 4);
    cublasLtMatrixLayoutInit(&b_, CUDA_R_32F, 6, 5, 6);
    cublasLtMatrixLayoutInit(&d_, CUDA_R_32F, 4, 5, 4);
    cublasLtMatmulPreferenceInit(&preference_);
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{2});
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{1 << 20});
  }

  void set(cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    cublasLtMatmulPreferenceSetAttribute(&preference_, attribute, &value, sizeof value);
  }
  void set(cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    cublasLtMatmulDescSetAttribute(&operation_, attribute, &value, sizeof value);
  }

  /// The message of what it throws, or "".
  std::string ask() {
    int count = 0;
    try {
      cublasLtMatmulAlgoGetHeuristic(nullptr, &operation_, &a_, &b_, &d_, &d_, &preference_, 1,
                                     &result_, &count);
    } catch (const simt::error& e) {
      return e.what();
    }
    return "";
  }
  std::string multiply(const void* a, void* workspace) {
    const float one = 1, zero = 0;
    try {
      cublasLtMatmul(nullptr, &operation_, &one, a, &a_, operand_.data(), &b_, &zero,
                     operand_.data(), &d_, operand_.data(), &d_, &result_.algo, workspace, 1 << 20,
                     nullptr);
    } catch (const simt::error& e) {
      return e.what();
    }
    return "";
  }

  cublasLtMatmulDescOpaque_t operation_;
  cublasLtMatrixLayoutOpaque_t a_, b_, d_;
  cublasLtMatmulPreferenceOpaque_t preference_;
  cublasLtMatmulHeuristicResult_t result_;
  Array<float> operand_{64, 1.f};
};

TEST_F(CuBlasLtTest, ShapesHaveToAgree) {
  EXPECT_EQ(ask(), "");
  a_.rows = 3;
  EXPECT_EQ(ask(), "cuBLASLt: rows of d as op(a) has them");
  a_.rows = 4, a_.columns = 7;
  EXPECT_EQ(ask(), "cuBLASLt: columns of op(a) as op(b) has rows");
  a_.columns = 6, b_.columns = 4;
  EXPECT_EQ(ask(), "cuBLASLt: columns of d as op(b) has them");
  b_.columns = 5, b_.ld = 5;
  EXPECT_EQ(ask(), "cuBLASLt: a leading dimension of at least the rows");
}

TEST_F(CuBlasLtTest, EpiloguesNeedTheirOperands) {
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU_AUX_BIAS);
  EXPECT_EQ(ask(), "cuBLASLt: a bias for an epilogue with one");
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(operand_.data() + 2));
  EXPECT_EQ(ask(), "cuBLASLt: a bias that is aligned to 16 bytes");
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(operand_.data()));
  EXPECT_EQ(ask(), "cuBLASLt: a mask for an epilogue with one");
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(operand_.data()));
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{64});
  EXPECT_EQ(ask(), "cuBLASLt: a mask of whole 128 bits a column");
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{128});
  EXPECT_EQ(ask(), "");
}

/// A choice may load a library's kernels, which a capture does not allow.
TEST_F(CuBlasLtTest, NothingIsChosenInACapture) {
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(ask(), "cuBLASLt: a choice that is made while no stream is captured");
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(ask(), "");
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_F(CuBlasLtTest, SumsMustHaveAnOrder) {
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{7});
  EXPECT_EQ(ask(), "cuBLASLt: sums whose order and precision are fixed");
}

TEST_F(CuBlasLtTest, AProductMustBeWhatWasChosenFor) {
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(operand_.data()));
  ASSERT_EQ(ask(), "");
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(operand_.data() + 4));
  EXPECT_EQ(multiply(operand_.data(), operand_.data()),
            "cuBLASLt: operands aligned as was promised");
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(nullptr));
  ASSERT_EQ(ask(), "");
  EXPECT_EQ(multiply(operand_.data() + 1, operand_.data()),
            "cuBLASLt: operands aligned as was promised");
  EXPECT_EQ(multiply(operand_.data(), nullptr),
            "cuBLASLt: the workspace that the algorithm asks for");
}

}  // namespace
}  // namespace rheo::cuda
