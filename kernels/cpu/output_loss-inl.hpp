// The pass of sigmoid_bce and squared_error over rows of the output layer, for one Highway target.
//
// Reads the logits, the targets and the bias once, writes the gradient once: 12 bytes an element
// (8 without gradient). Losses are added in float32 lanes over at most 1024 columns, then in
// float64. A lane thus adds at most 1024 / lanes terms, and the relative error of a sum of n terms
// of one sign is below n 2^-24: 1.5e-5 for 4 lanes at worst; rounding errors being of either sign,
// it is about sqrt(n) 2^-25, 5e-7, a row, and averages out over the rows. (Targets outside [0, 1]
// give terms of both signs: the bound is then relative to the sum of their magnitudes.) The
// gradient's column sums are in float32 over a block of 32 rows, then in float64.
//
// clang-format off
#if defined(HOURGLASS_OUTPUT_LOSS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_OUTPUT_LOSS_INL_HPP
#undef HOURGLASS_OUTPUT_LOSS_INL_HPP
#else
#define HOURGLASS_OUTPUT_LOSS_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/output_loss.hpp"
#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Columns [begin, end) of one row; the sum of their losses. `first_row`: column_sums is written,
/// not added to.
template <bool wants_gradient, class Formula>
HWY_INLINE float output_loss_columns(const Formula& formula, const float* pre, const float* bias,
                                     const float* targets, float* gradient, float scale,
                                     float* column_sums, bool first_row, std::int64_t columns) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    const auto z = hn::Add(hn::LoadU(d, pre + i), hn::LoadU(d, bias + i));
    const auto term = formula(d, z, hn::LoadU(d, targets + i));
    sum = hn::Add(sum, term.loss);
    if constexpr (wants_gradient) {
      const auto g = hn::Mul(term.gradient, factor);
      hn::StoreU(g, d, gradient + i);
      hn::StoreU(first_row ? g : hn::Add(hn::LoadU(d, column_sums + i), g), d, column_sums + i);
    }
  }
  if (i < columns) {
    const std::int64_t n = columns - i;
    const auto z = hn::Add(load_first(d, pre + i, n), load_first(d, bias + i, n));
    const auto term = formula(d, z, load_first(d, targets + i, n));
    const auto inside = hn::FirstN(d, static_cast<std::size_t>(n));
    sum = hn::Add(sum, hn::IfThenElseZero(inside, term.loss));
    if constexpr (wants_gradient) {
      const auto g = hn::Mul(term.gradient, factor);
      store_first(g, d, gradient + i, n);
      const auto before = first_row ? hn::Zero(d) : load_first(d, column_sums + i, n);
      store_first(hn::Add(before, g), d, column_sums + i, n);
    }
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

template <bool wants_gradient, class Formula>
double output_loss_pass(const Formula& formula, const OutputLossRows& pass, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  constexpr std::int64_t longest_float_sum = 1024;
  double loss = 0.0;
  for (std::int64_t row = first; row < end; ++row) {
    for (std::int64_t begin = 0; begin < pass.columns; begin += longest_float_sum) {
      const std::int64_t at = row * pass.columns + begin;
      loss += static_cast<double>(output_loss_columns<wants_gradient>(
          formula, pass.pre + at, pass.bias + begin, pass.targets + at,
          wants_gradient ? pass.gradient + at : nullptr, pass.gradient_scale,
          wants_gradient ? column_sums + begin : nullptr, row == first,
          std::min(longest_float_sum, pass.columns - begin)));
    }
  }
  return loss;
}

template <class Formula>
double output_loss_rows(const Formula& formula, const OutputLossRows& pass, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  return pass.gradient != nullptr ? output_loss_pass<true>(formula, pass, first, end, column_sums)
                                  : output_loss_pass<false>(formula, pass, first, end, column_sums);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_OUTPUT_LOSS_INL_HPP
