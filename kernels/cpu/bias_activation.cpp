// bias_activation: out = f(pre + bias), 8 to 12 bytes an element. bias_activation_backward:
// gradient *= f', with the bias gradient, the column sums of the result, in the same pass: 12 bytes
// an element (16 for gelu, whose derivative needs its input). Formulas: activate() and
// activation_derivative() of math.hpp.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/row_blocks.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bias_activation.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// `size` elements of one row. pre and out may be the same.
template <Activation f>
void forward_row(const float* bias, float* pre, float* out, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto x = hn::Add(hn::LoadU(d, pre + i), hn::LoadU(d, bias + i));
    if (pre != out) hn::StoreU(x, d, pre + i);
    hn::StoreU(activate<f>(d, x), d, out + i);
  }
  if (i < size) {
    const auto x = hn::Add(load_first(d, pre + i, size - i), load_first(d, bias + i, size - i));
    if (pre != out) store_first(x, d, pre + i, size - i);
    store_first(activate<f>(d, x), d, out + i, size - i);
  }
}

/// One row; column_sums is written where `first_row`, else added to.
template <Activation f>
void backward_row(const float* pre, const float* out, float* gradient, float* column_sums,
                  bool first_row, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr bool needs_input = !derivative_from_output(f);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto y = hn::LoadU(d, out + i);
    const auto x = needs_input ? hn::LoadU(d, pre + i) : y;
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), activation_derivative<f>(d, x, y));
    hn::StoreU(g, d, gradient + i);
    hn::StoreU(first_row ? g : hn::Add(hn::LoadU(d, column_sums + i), g), d, column_sums + i);
  }
  if (i < size) {
    const std::int64_t n = size - i;
    const auto y = load_first(d, out + i, n);
    const auto x = needs_input ? load_first(d, pre + i, n) : y;
    const auto g = hn::Mul(load_first(d, gradient + i, n), activation_derivative<f>(d, x, y));
    store_first(g, d, gradient + i, n);
    const auto before = first_row ? hn::Zero(d) : load_first(d, column_sums + i, n);
    store_first(hn::Add(before, g), d, column_sums + i, n);
  }
}

template <Activation f>
void forward_pass(const float* bias, Mat pre, Mat out, std::int64_t first, std::int64_t end) {
  const std::int64_t k = pre.columns;
  for (std::int64_t row = first; row < end; ++row)
    forward_row<f>(bias, pre.data + row * k, out.data + row * k, k);
}

template <Activation f>
void backward_pass(ConstMat pre, ConstMat out, Mat gradient, std::int64_t first, std::int64_t end,
                   float* column_sums) {
  const std::int64_t k = gradient.columns;
  for (std::int64_t row = first; row < end; ++row) {
    const float* input = derivative_from_output(f) ? nullptr : pre.data + row * k;
    backward_row<f>(input, out.data + row * k, gradient.data + row * k, column_sums, row == first,
                    k);
  }
}

void bias_activation_rows(Activation f, const float* bias, Mat pre, Mat out, std::int64_t first,
                          std::int64_t end) {
  switch (f) {
    case Activation::linear:
      return forward_pass<Activation::linear>(bias, pre, out, first, end);
    case Activation::relu:
      return forward_pass<Activation::relu>(bias, pre, out, first, end);
    case Activation::leaky_relu:
      return forward_pass<Activation::leaky_relu>(bias, pre, out, first, end);
    case Activation::elu:
      return forward_pass<Activation::elu>(bias, pre, out, first, end);
    case Activation::selu:
      return forward_pass<Activation::selu>(bias, pre, out, first, end);
    case Activation::gelu:
      return forward_pass<Activation::gelu>(bias, pre, out, first, end);
    case Activation::tanh:
      return forward_pass<Activation::tanh>(bias, pre, out, first, end);
    case Activation::sigmoid:
      return forward_pass<Activation::sigmoid>(bias, pre, out, first, end);
  }
}

void bias_activation_backward_rows(Activation f, ConstMat pre, ConstMat out, Mat gradient,
                                   std::int64_t first, std::int64_t end, float* column_sums) {
  switch (f) {
    case Activation::linear:
      return backward_pass<Activation::linear>(pre, out, gradient, first, end, column_sums);
    case Activation::relu:
      return backward_pass<Activation::relu>(pre, out, gradient, first, end, column_sums);
    case Activation::leaky_relu:
      return backward_pass<Activation::leaky_relu>(pre, out, gradient, first, end, column_sums);
    case Activation::elu:
      return backward_pass<Activation::elu>(pre, out, gradient, first, end, column_sums);
    case Activation::selu:
      return backward_pass<Activation::selu>(pre, out, gradient, first, end, column_sums);
    case Activation::gelu:
      return backward_pass<Activation::gelu>(pre, out, gradient, first, end, column_sums);
    case Activation::tanh:
      return backward_pass<Activation::tanh>(pre, out, gradient, first, end, column_sums);
    case Activation::sigmoid:
      return backward_pass<Activation::sigmoid>(pre, out, gradient, first, end, column_sums);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

/// Cheap activations move memory that one core moves as fast as two; exponentials are worth sharing
/// sooner.
std::int64_t elements_for_threads(Activation f) {
  return f == Activation::linear || f == Activation::relu || f == Activation::leaky_relu ? 131072
                                                                                         : 32768;
}

}  // namespace

HWY_EXPORT(bias_activation_rows);
HWY_EXPORT(bias_activation_backward_rows);

void CpuBackend::bias_activation(Activation activation, std::span<const float> bias, Mat pre,
                                 Mat out) {
  const char* name = "bias_activation";
  require(static_cast<std::int64_t>(bias.size()) == pre.columns, name, "a bias a column");
  require(out.rows == pre.rows && out.columns == pre.columns, name,
          "an output of the input's shape");
  require(out.data != pre.data || pre.size() == 0 || derivative_from_output(activation), name,
          "an output apart from the input, which the derivative needs");
  if (pre.size() == 0) return;
  for_row_blocks(pool_, pre.rows, pre.columns, elements_for_threads(activation),
                 [&](std::int64_t, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(bias_activation_rows)
                   (activation, bias.data(), pre, out, first, end);
                 });
}

void CpuBackend::bias_activation_backward(Activation activation, ConstMat pre, ConstMat out,
                                          Mat gradient, std::span<float> bias_gradient) {
  const char* name = "bias_activation_backward";
  const std::int64_t rows = gradient.rows, columns = gradient.columns;
  require(out.rows == rows && out.columns == columns, name, "an output of the gradient's shape");
  require(derivative_from_output(activation) || (pre.rows == rows && pre.columns == columns), name,
          "an input of the gradient's shape");
  require(static_cast<std::int64_t>(bias_gradient.size()) == columns, name,
          "a bias gradient a column");
  if (gradient.size() == 0) {
    std::fill(bias_gradient.begin(), bias_gradient.end(), 0.0f);
    return;
  }
  const std::int64_t blocks = row_blocks(rows);
  float* partial = scratch_.reserve<float>(blocks * columns);
  for_row_blocks(pool_, rows, columns, elements_for_threads(activation),
                 [&](std::int64_t block, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(bias_activation_backward_rows)
                   (activation, pre, out, gradient, first, end, partial + block * columns);
                 });
  sum_blocks(partial, blocks, columns, bias_gradient.data());
}

}  // namespace hourglass::cpu
#endif
