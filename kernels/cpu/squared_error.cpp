// squared_error: (f(z) - t)^2 with f sigmoid or linear, its gradient and the bias gradient in one
// pass (output_loss-inl.hpp). Formula: squared_error() of math.hpp.
#include <cstdint>

#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/output_loss.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/squared_error.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/output_loss-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

double squared_error_rows(const OutputLossRows& pass, Activation activation, std::int64_t first,
                          std::int64_t end, float* column_sums) {
  const auto sigmoid_sum = [](auto d) {
    return SquaredErrorSum<Activation::sigmoid, decltype(d)>(d);
  };
  const auto linear_sum = [](auto d) {
    return SquaredErrorSum<Activation::linear, decltype(d)>(d);
  };
  return activation == Activation::sigmoid
             ? output_loss_rows(sigmoid_sum, pass, first, end, column_sums)
             : output_loss_rows(linear_sum, pass, first, end, column_sums);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(squared_error_rows);

double squared_error_pass(const OutputLossRows& pass, Activation activation, std::int64_t first,
                          std::int64_t end, float* column_sums) {
  return HWY_DYNAMIC_DISPATCH(squared_error_rows)(pass, activation, first, end, column_sums);
}

void CpuBackend::squared_error(Activation activation, ConstMat pre, std::span<const float> bias,
                               ConstMat targets, Mat gradient, std::span<float> bias_gradient,
                               double* loss) {
  require(activation == Activation::sigmoid || activation == Activation::linear, "squared_error",
          "activation sigmoid or linear");
  output_loss("squared_error", pool_, scratch_, pre, bias, targets, gradient, bias_gradient, loss,
              [&](const OutputLossRows& pass, std::int64_t first, std::int64_t end, float* sums) {
                return squared_error_pass(pass, activation, first, end, sums);
              });
}

}  // namespace hourglass::cpu
#endif
