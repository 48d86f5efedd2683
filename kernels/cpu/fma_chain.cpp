// fma_chain: values[i] after `terms` turns of v = v a + b, the arithmetic ceiling of the machine.
//
// 2 FLOPs a turn, 8 bytes a value in all. A fused multiply-add takes four cycles or five and two
// begin in each, so that twelve vectors in flight keep both pipelines full; with a and b they fit
// the 16 registers of SSE4 and AVX2.
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fma_chain.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void fma_chain_range(float a, float b, int terms, float* values, std::int64_t begin,
                     std::int64_t end) {
  constexpr std::int64_t chains = 12;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, a);
  const auto addend = hn::Set(d, b);
  const auto turned = [&](auto v) {
    for (int t = 0; t < terms; ++t)
      v = hn::MulAdd(v, factor, addend);
    return v;
  };
  std::int64_t i = begin;
  for (; i + chains * lanes <= end; i += chains * lanes) {
    hn::Vec<decltype(d)> v[chains];
    for (std::int64_t c = 0; c < chains; ++c)
      v[c] = hn::LoadU(d, values + i + c * lanes);
    for (int t = 0; t < terms; ++t) {
      for (std::int64_t c = 0; c < chains; ++c)
        v[c] = hn::MulAdd(v[c], factor, addend);
    }
    for (std::int64_t c = 0; c < chains; ++c)
      hn::StoreU(v[c], d, values + i + c * lanes);
  }
  for (; i + lanes <= end; i += lanes)
    hn::StoreU(turned(hn::LoadU(d, values + i)), d, values + i);
  if (i < end) store_first(turned(load_first(d, values + i, end - i)), d, values + i, end - i);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(fma_chain_range);

void CpuBackend::fma_chain(float a, float b, int terms, std::span<float> values) {
  constexpr std::int64_t cache_line = 16;  // floats: no line is written by two threads
  constexpr std::int64_t turns_for_threads = std::int64_t{1} << 20;
  require(terms >= 0, "fma_chain", "a number of terms that is not negative");
  if (terms == 0) return;
  pool_.for_ranges(static_cast<std::int64_t>(values.size()), cache_line,
                   turns_for_threads / terms + 1, [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(fma_chain_range)
                     (a, b, terms, values.data(), begin, end);
                   });
}

}  // namespace hourglass::cpu
#endif
