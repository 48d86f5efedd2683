// 1 / v to nearly float32 precision, for one Highway target: the processor's estimate and a Newton
// step, r (2 - v r). An estimate of 12 bits becomes 23. Dividing costs several times as much, and
// the t-SNE kernel is little else.
//
// clang-format off
#if defined(HOURGLASS_RECIPROCAL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_RECIPROCAL_INL_HPP
#undef HOURGLASS_RECIPROCAL_INL_HPP
#else
#define HOURGLASS_RECIPROCAL_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// For finite v of at least 1 and below 2^126.
template <class D, class V>
HWY_INLINE V reciprocal(D f, V v) {
  const V estimate = hn::ApproximateReciprocal(v);
  return hn::Mul(estimate, hn::NegMulAdd(v, estimate, hn::Set(f, 2.0f)));
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_RECIPROCAL_INL_HPP
