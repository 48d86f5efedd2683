// Accuracy of kernels/cpu/simd_math-inl.hpp against float64, on every instruction set of this
// machine: dense grids over each function's range, and the ends of float32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/parity/simd_math_test.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

#ifndef HOURGLASS_SIMD_MATH_TEST_FUNCTION
#define HOURGLASS_SIMD_MATH_TEST_FUNCTION
namespace hourglass::cpu {

enum class Function {
  exp,
  expm1,
  sigmoid,
  tanh,
  normal_cdf,
  normal_pdf,
  relu,
  leaky_relu,
  elu,
  selu,
  gelu,
  relu_derivative,
  gelu_derivative,
  elu_second_derivative,
  selu_second_derivative,
  gelu_second_derivative,
  tanh_second_derivative,
  sigmoid_second_derivative,
  bce_loss,
  bce_longest_sum,
  bce_gradient
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// f'' as the operations take it, from what f gives.
template <Activation f, class D, class V = hn::Vec<D>>
V second_derivative(D d, V x) {
  return activation_second_derivative<f>(d, x, activate<f>(d, x));
}

template <class D, class V = hn::Vec<D>>
V evaluate(Function function, D d, V x) {
  // With target 0 the loss of a negative logit is log(1 + exp(z)) and nothing larger beside it.
  const V target = function == Function::bce_gradient ? hn::Set(d, 0.25f) : hn::Zero(d);
  BceSum<D> bce(d, logit_range(1e-7f));
  const auto all = [](V v) { return v; };
  switch (function) {
    case Function::exp:
      return exp_nonpositive(d, x);
    case Function::expm1:
      return expm1_nonpositive(d, x);
    case Function::sigmoid:
      return sigmoid(d, x);
    case Function::tanh:
      return tanh(d, x);
    case Function::normal_cdf:
      return normal(d, x).cdf;
    case Function::normal_pdf:
      return normal(d, x).pdf;
    case Function::relu:
      return activate<Activation::relu>(d, x);
    case Function::leaky_relu:
      return activate<Activation::leaky_relu>(d, x);
    case Function::elu:
      return activate<Activation::elu>(d, x);
    case Function::selu:
      return activate<Activation::selu>(d, x);
    case Function::gelu:
      return activate<Activation::gelu>(d, x);
    case Function::relu_derivative:
      return activation_derivative<Activation::relu>(d, x, x);
    case Function::gelu_derivative:
      return activation_derivative<Activation::gelu>(d, x, x);
    case Function::elu_second_derivative:
      return second_derivative<Activation::elu>(d, x);
    case Function::selu_second_derivative:
      return second_derivative<Activation::selu>(d, x);
    case Function::gelu_second_derivative:
      return second_derivative<Activation::gelu>(d, x);
    case Function::tanh_second_derivative:
      return second_derivative<Activation::tanh>(d, x);
    case Function::sigmoid_second_derivative:
      return second_derivative<Activation::sigmoid>(d, x);
    case Function::bce_loss:
      bce.add(x, target, all);
      return bce.total();
    case Function::bce_longest_sum:
      static_assert(BceSum<D>::longest == 96);
      for (std::int64_t i = 0; i < BceSum<D>::longest; ++i)
        bce.add(x, target, all);
      return bce.total();
    case Function::bce_gradient:
      return bce.add(x, target, all);
  }
  return x;
}

/// `size` may be any: the end of the arrays goes through load_first and store_first.
void evaluate_all(Function function, const float* x, float* y, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes)
    hn::StoreU(evaluate(function, d, load_at(d, x, i, size)), d, y + i);
  if (i < size) store_first(evaluate(function, d, load_at(d, x, i, size)), d, y + i, size - i);
}

bool has_fused_multiply_add() {
  return HWY_NATIVE_FMA != 0;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(evaluate_all);
HWY_EXPORT(has_fused_multiply_add);

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

double exact_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double exact_pdf(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
}

double exact_sigmoid(double x) {
  return x >= 0.0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x));
}

class SimdMath : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }

  static std::vector<float> evaluate(Function function, const std::vector<float>& x) {
    std::vector<float> y(x.size(), -12345.0f);
    HWY_DYNAMIC_DISPATCH(evaluate_all)
    (function, x.data(), y.data(), static_cast<std::int64_t>(x.size()));
    return y;
  }
  static float evaluate(Function function, float x) {
    return evaluate(function, std::vector<float>{x})[0];
  }

  /// Evenly spaced points of [low, high], and points that close in on 0 by factors where it is
  /// inside. 200,003 is no multiple of any vector's length.
  static std::vector<float> grid(double low, double high) {
    constexpr int count = 200003;
    std::vector<float> x;
    for (int i = 0; i < count; ++i)
      x.push_back(static_cast<float>(low + (high - low) * i / (count - 1)));
    for (double magnitude = 1.0; magnitude > 1e-44; magnitude *= 0.93) {
      for (const double value : {magnitude, -magnitude}) {
        if (value >= low && value <= high) x.push_back(static_cast<float>(value));
      }
    }
    return x;
  }

  /// Every result within `ulps` units in the last place of the exact value, or `absolute` of it.
  static void expect_accurate(Function function, double low, double high, double ulps,
                              double absolute, const std::function<double(double)>& exact) {
    const std::vector<float> x = grid(low, high);
    const std::vector<float> y = evaluate(function, x);
    double worst = 0.0, worst_at = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = exact(static_cast<double>(x[i]));
      const double error = std::fabs(static_cast<double>(y[i]) - want);
      if (error <= absolute) continue;
      const double ulp = std::ldexp(1.0, std::max(std::ilogb(want), -126) - 23);
      if (!(error / ulp <= worst)) {
        worst = error / ulp;
        worst_at = static_cast<double>(x[i]);
      }
    }
    EXPECT_LE(worst, ulps) << "at " << worst_at << ": exactly " << exact(worst_at);
    RecordProperty("worst_ulp", std::to_string(worst));
  }
};

INSTANTIATE_TEST_SUITE_P(On, SimdMath, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<std::int64_t>& info) {
                           return std::string(hwy::TargetName(info.param));
                         });

constexpr double least = 1.1e-38;  // what the exponential may lose at its end

TEST_P(SimdMath, Exp) {
  expect_accurate(Function::exp, -110.0, 0.0, 2.0, least, [](double x) { return std::exp(x); });
  EXPECT_EQ(evaluate(Function::exp, 0.0f), 1.0f);
  EXPECT_EQ(evaluate(Function::exp, -infinity), 0.0f);
  EXPECT_EQ(evaluate(Function::exp, -3e38f), 0.0f);
  EXPECT_TRUE(std::isnan(evaluate(Function::exp, nan)));
}

TEST_P(SimdMath, Expm1) {
  expect_accurate(Function::expm1, -110.0, 0.0, 2.0, 0.0, [](double x) { return std::expm1(x); });
  expect_accurate(Function::expm1, -1.0, 0.0, 2.0, 0.0, [](double x) { return std::expm1(x); });
  EXPECT_EQ(evaluate(Function::expm1, 0.0f), 0.0f);
  EXPECT_EQ(evaluate(Function::expm1, -infinity), -1.0f);
  EXPECT_TRUE(std::isnan(evaluate(Function::expm1, nan)));
}

TEST_P(SimdMath, Sigmoid) {
  expect_accurate(Function::sigmoid, -110.0, 30.0, 2.1, least, exact_sigmoid);
  EXPECT_EQ(evaluate(Function::sigmoid, 0.0f), 0.5f);
  EXPECT_EQ(evaluate(Function::sigmoid, infinity), 1.0f);
  EXPECT_EQ(evaluate(Function::sigmoid, -infinity), 0.0f);
  EXPECT_EQ(evaluate(Function::sigmoid, 3e38f), 1.0f);
  EXPECT_TRUE(std::isnan(evaluate(Function::sigmoid, nan)));
}

TEST_P(SimdMath, Tanh) {
  expect_accurate(Function::tanh, -12.0, 12.0, 2.5, 0.0, [](double x) { return std::tanh(x); });
  expect_accurate(Function::tanh, -0.5, 0.5, 2.5, 0.0, [](double x) { return std::tanh(x); });
  EXPECT_EQ(evaluate(Function::tanh, infinity), 1.0f);
  EXPECT_EQ(evaluate(Function::tanh, -infinity), -1.0f);
  EXPECT_TRUE(std::isnan(evaluate(Function::tanh, nan)));
}

TEST_P(SimdMath, NormalDistribution) {
  const bool fused = HWY_DYNAMIC_DISPATCH(has_fused_multiply_add)();
  const double tail_ulps = fused ? 6.5 : 80.0;
  expect_accurate(Function::normal_cdf, -2.0, 20.0, 6.5, 0.0, exact_cdf);
  expect_accurate(Function::normal_cdf, -16.0, -2.0, tail_ulps, least, exact_cdf);
  expect_accurate(Function::normal_pdf, -2.0, 2.0, 4.0, 0.0, exact_pdf);
  expect_accurate(Function::normal_pdf, -16.0, 16.0, tail_ulps, least, exact_pdf);
  EXPECT_EQ(evaluate(Function::normal_cdf, infinity), 1.0f);
  EXPECT_EQ(evaluate(Function::normal_cdf, -infinity), 0.0f);
  EXPECT_EQ(evaluate(Function::normal_pdf, -3e38f), 0.0f);
  EXPECT_TRUE(std::isnan(evaluate(Function::normal_cdf, nan)));
  EXPECT_TRUE(std::isnan(evaluate(Function::normal_pdf, nan)));
}

TEST_P(SimdMath, Activations) {
  const bool fused = HWY_DYNAMIC_DISPATCH(has_fused_multiply_add)();
  expect_accurate(Function::relu, -3.0, 3.0, 0.0, 0.0, [](double x) { return x > 0 ? x : 0.0; });
  expect_accurate(Function::leaky_relu, -3.0, 3.0, 1.0, 1e-44,
                  [](double x) { return x > 0 ? x : 0.01 * x; });
  expect_accurate(Function::elu, -100.0, 10.0, 2.0, 0.0,
                  [](double x) { return x > 0 ? x : std::expm1(x); });
  constexpr double lambda = 1.0507009873554804934, alpha = 1.6732632423543772848;
  expect_accurate(Function::selu, -100.0, 10.0, 4.0, 1e-44,
                  [&](double x) { return lambda * (x > 0 ? x : alpha * std::expm1(x)); });
  expect_accurate(Function::gelu, -12.0, 12.0, fused ? 7.0 : 80.0, least,
                  [](double x) { return x * exact_cdf(x); });
  // The derivative has a zero at -0.75: there only an absolute error can be promised.
  expect_accurate(Function::gelu_derivative, -12.0, 12.0, fused ? 7.0 : 80.0, 1.2e-7,
                  [](double x) { return exact_cdf(x) + x * exact_pdf(x); });
  expect_accurate(Function::relu_derivative, -3.0, 3.0, 0.0, 0.0,
                  [](double x) { return x > 0 ? 1.0 : 0.0; });
  for (const Function f : {Function::relu, Function::leaky_relu, Function::elu, Function::selu,
                           Function::gelu, Function::gelu_derivative}) {
    EXPECT_TRUE(std::isnan(evaluate(f, nan))) << static_cast<int>(f);
  }
  EXPECT_EQ(evaluate(Function::relu, -infinity), 0.0f);
  EXPECT_EQ(evaluate(Function::elu, -infinity), -1.0f);
  EXPECT_EQ(evaluate(Function::elu, infinity), infinity);
  EXPECT_EQ(evaluate(Function::gelu, infinity), infinity);
}

TEST_P(SimdMath, SecondDerivatives) {
  // All but that of gelu follow from the rounded output of f: only an absolute error can be
  // promised.
  constexpr double lambda = 1.0507009873554804934, alpha = 1.6732632423543772848;
  const auto square = [](double x) { return x * x; };
  expect_accurate(Function::elu_second_derivative, -100.0, 10.0, 0.0, 2.5e-7,
                  [](double x) { return x > 0 ? 0.0 : std::exp(x); });
  expect_accurate(Function::selu_second_derivative, -100.0, 10.0, 0.0, 5e-7,
                  [&](double x) { return x > 0 ? 0.0 : lambda * alpha * std::exp(x); });
  expect_accurate(Function::gelu_second_derivative, -20.0, 20.0, 0.0, 2e-7,
                  [&](double x) { return exact_pdf(x) * (2.0 - square(x)); });
  // An error of tanh of 2.5 units, four times, and the rounding of its square.
  expect_accurate(Function::tanh_second_derivative, -12.0, 12.0, 0.0, 1.5e-6,
                  [&](double x) { return -2.0 * std::tanh(x) * (1.0 - square(std::tanh(x))); });
  expect_accurate(Function::sigmoid_second_derivative, -110.0, 110.0, 0.0, 1e-7, [](double x) {
    return exact_sigmoid(x) * exact_sigmoid(-x) * (1.0 - 2.0 * exact_sigmoid(x));
  });
  for (const Function f : {Function::elu_second_derivative, Function::selu_second_derivative,
                           Function::gelu_second_derivative, Function::tanh_second_derivative,
                           Function::sigmoid_second_derivative}) {
    EXPECT_TRUE(std::isnan(evaluate(f, nan))) << static_cast<int>(f);
    EXPECT_TRUE(std::isfinite(evaluate(f, 1e30f))) << static_cast<int>(f);
    EXPECT_TRUE(std::isfinite(evaluate(f, -1e30f))) << static_cast<int>(f);
  }
}

TEST_P(SimdMath, Bce) {
  const LogitRange range = logit_range(1e-7f);
  const auto clamp = [&](double z) {
    return std::min(std::max(z, static_cast<double>(range.lower)),
                    static_cast<double>(range.upper));
  };
  const auto loss = [&](double z) {
    const double l = clamp(z);
    return std::max(l, 0.0) + std::log1p(std::exp(-std::fabs(l)));
  };
  expect_accurate(Function::bce_loss, -40.0, 40.0, 4.0, 0.0, loss);
  // A product of 96 factors, from 1 + 1e-7 (lost if it were kept as it is) to 2 (2^96 in all).
  constexpr double terms = 96;
  expect_accurate(Function::bce_longest_sum, -40.0, 40.0, terms, 0.0,
                  [&](double z) { return terms * loss(z); });
  expect_accurate(Function::bce_gradient, -40.0, 40.0, 2.0, 1.2e-7, [&](double z) {
    return z <= static_cast<double>(range.lower) || z >= static_cast<double>(range.upper)
               ? 0.0
               : exact_sigmoid(z) - 0.25;
  });
  EXPECT_EQ(evaluate(Function::bce_gradient, range.upper), 0.0f);
  EXPECT_EQ(evaluate(Function::bce_gradient, range.lower), 0.0f);
  EXPECT_EQ(evaluate(Function::bce_gradient, infinity), 0.0f);
  EXPECT_NE(evaluate(Function::bce_gradient, std::nextafter(range.upper, 0.0f)), 0.0f);
  EXPECT_NE(evaluate(Function::bce_gradient, std::nextafter(range.lower, 0.0f)), 0.0f);
  EXPECT_TRUE(std::isfinite(evaluate(Function::bce_loss, infinity)));
  EXPECT_TRUE(std::isnan(evaluate(Function::bce_loss, nan)));
  EXPECT_TRUE(std::isnan(evaluate(Function::bce_longest_sum, nan)));
  EXPECT_TRUE(std::isnan(evaluate(Function::bce_gradient, nan)));
}

TEST_P(SimdMath, ResultsDoNotDependOnTheLane) {
  for (const Function f : {Function::exp, Function::sigmoid, Function::tanh, Function::gelu}) {
    for (const float x : {-0.3f, -1.7f, -20.0f}) {
      const std::vector<float> y = evaluate(f, std::vector<float>(71, x));
      for (const float value : y)
        ASSERT_EQ(value, y[0]);
      ASSERT_EQ(evaluate(f, x), y[0]);
    }
  }
}

}  // namespace
}  // namespace hourglass::cpu
#endif
