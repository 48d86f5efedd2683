// The sum of squares of a few thousand numbers, for one Highway target: squares and sums in
// float64, so that neither 1e30 overflows nor 1e-30 is lost. 4 bytes an element are read.
//
// clang-format off
#if defined(HOURGLASS_SQUARE_SUM_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_SQUARE_SUM_INL_HPP
#undef HOURGLASS_SQUARE_SUM_INL_HPP
#else
#define HOURGLASS_SQUARE_SUM_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Four vectors of sums, which hide the latency of an addition.
HWY_INLINE double square_sum(const float* x, std::int64_t size) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto load = [&](std::int64_t at)
                        HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(narrow, x + at)); };
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    const auto a = load(i), b = load(i + lanes);
    const auto c = load(i + 2 * lanes), e = load(i + 3 * lanes);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
    sum2 = hn::MulAdd(c, c, sum2);
    sum3 = hn::MulAdd(e, e, sum3);
  }
  for (; i + lanes <= size; i += lanes) {
    const auto a = load(i);
    sum0 = hn::MulAdd(a, a, sum0);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  for (; i < size; ++i)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_SQUARE_SUM_INL_HPP
