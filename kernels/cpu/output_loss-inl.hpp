// The pass of sigmoid_bce and squared_error over rows of the output layer, for one Highway target.
//
// Reads the logits, the targets and the bias once, writes the gradient once: 12 bytes an element
// (8 without gradient). Losses are added in float32 over at most 128 terms a lane, then in float64:
// the relative error of a sum of n terms of one sign is below n 2^-24, 8e-6, at worst (twice to
// three times that for the logarithms of sigmoid_bce, simd_math-inl.hpp); rounding errors being of
// either sign, it is about sqrt(n) 2^-25, 3e-7, a row, and averages out over the rows. (Targets
// outside [0, 1] give terms of both signs: the bound is then relative to the sum of their
// magnitudes.) The gradient's column sums are in float32 over a block of 32 rows, then in float64.
//
// Two rows at a time, which share the loads of the bias and of the column sums.
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
#include <type_traits>

#include "kernels/cpu/output_loss.hpp"
#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// `columns` columns of one row, or of two (`second` the offset of the other, `second_target` that
/// of its targets), whose losses are added to sum0 and sum1 (simd_math-inl.hpp). `fresh`:
/// column_sums is written, not added to.
template <bool two_rows, bool wants_gradient, class Sum>
HWY_INLINE void output_loss_columns(Sum& sum0, Sum& sum1, const float* pre, const float* bias,
                                    const float* targets, float* gradient, std::int64_t second,
                                    std::int64_t second_target, float scale, float* column_sums,
                                    bool fresh, std::int64_t columns) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  const auto all = [](auto v) { return v; };
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    const auto b = hn::LoadU(d, bias + i);
    auto g = hn::Mul(sum0.add(hn::Add(hn::LoadU(d, pre + i), b), hn::LoadU(d, targets + i), all),
                     factor);
    if constexpr (wants_gradient) hn::StoreU(g, d, gradient + i);
    if constexpr (two_rows) {
      const auto h = hn::Mul(sum1.add(hn::Add(hn::LoadU(d, pre + second + i), b),
                                      hn::LoadU(d, targets + second_target + i), all),
                             factor);
      if constexpr (wants_gradient) hn::StoreU(h, d, gradient + second + i);
      g = hn::Add(g, h);
    }
    if constexpr (wants_gradient) {
      hn::StoreU(fresh ? g : hn::Add(hn::LoadU(d, column_sums + i), g), d, column_sums + i);
    }
  }
  if (i < columns) {
    const std::int64_t n = columns - i;
    const auto inside = hn::FirstN(d, static_cast<std::size_t>(n));
    const auto some = [inside](auto v) { return hn::IfThenElseZero(inside, v); };
    const auto b = load_first(d, bias + i, n);
    auto g = hn::Mul(
        sum0.add(hn::Add(load_first(d, pre + i, n), b), load_first(d, targets + i, n), some),
        factor);
    if constexpr (wants_gradient) store_first(g, d, gradient + i, n);
    if constexpr (two_rows) {
      const auto h = hn::Mul(sum1.add(hn::Add(load_first(d, pre + second + i, n), b),
                                      load_first(d, targets + second_target + i, n), some),
                             factor);
      if constexpr (wants_gradient) store_first(h, d, gradient + second + i, n);
      g = hn::Add(g, h);
    }
    if constexpr (wants_gradient) {
      const auto before = fresh ? hn::Zero(d) : load_first(d, column_sums + i, n);
      store_first(hn::Add(before, g), d, column_sums + i, n);
    }
  }
}

template <bool wants_gradient, class MakeSum>
double output_loss_pass(const MakeSum& make_sum, const OutputLossRows& pass, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t longest = decltype(make_sum(d))::longest;
  double loss = 0.0;
  for (std::int64_t begin = 0; begin < pass.columns; begin += longest * lanes) {
    const std::int64_t columns = std::min(longest * lanes, pass.columns - begin);
    const std::int64_t terms = (columns + lanes - 1) / lanes;  // that a row adds to a lane
    auto sum0 = make_sum(d), sum1 = make_sum(d);
    std::int64_t held = 0;
    const auto take_sums = [&] {
      loss += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum0.total())));
      loss += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum1.total())));
    };
    for (std::int64_t row = first; row < end; row += 2) {
      if (held + terms > longest) {
        take_sums();
        sum0 = make_sum(d);
        sum1 = make_sum(d);
        held = 0;
      }
      held += terms;
      const std::int64_t at = row * pass.stride + begin;
      const auto add = [&](auto two_rows) {
        output_loss_columns<decltype(two_rows)::value, wants_gradient>(
            sum0, sum1, pass.pre + at, pass.bias + begin,
            pass.targets + row * pass.target_stride + begin,
            wants_gradient ? pass.gradient + at : nullptr, pass.stride, pass.target_stride,
            pass.gradient_scale, wants_gradient ? column_sums + begin : nullptr, row == first,
            columns);
      };
      if (row + 1 < end) {
        add(std::true_type{});
      } else {
        add(std::false_type{});
      }
    }
    take_sums();
  }
  return loss;
}

template <class MakeSum>
double output_loss_rows(const MakeSum& make_sum, const OutputLossRows& pass, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  return pass.gradient != nullptr
             ? output_loss_pass<true>(make_sum, pass, first, end, column_sums)
             : output_loss_pass<false>(make_sum, pass, first, end, column_sums);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_OUTPUT_LOSS_INL_HPP
