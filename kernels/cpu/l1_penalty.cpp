// l1_penalty: weight * sum |codes| and weight * sign(codes) added to the gradient, one pass: 12
// bytes an element. Magnitudes are added in float32 lanes over at most 4096 elements, then in
// float64 (error as in output_loss-inl.hpp).
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/l1_penalty.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// gradient + weight sign(h): neither sign for 0 and NaN, as sign() of math.hpp has it.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V add_signed(D d, V gradient, V h, V weight) {
  const auto zero = hn::Zero(d);
  const auto up = hn::IfThenElseZero(hn::Gt(h, zero), weight);
  const auto down = hn::IfThenElseZero(hn::Lt(h, zero), weight);
  return hn::Add(gradient, hn::Sub(up, down));
}

/// Returns the sum of |codes|; gradient may be null.
float l1_penalty_chunk(const float* codes, float weight, float* gradient, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto step = hn::Set(d, weight);
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto h = hn::LoadU(d, codes + i);
    sum = hn::Add(sum, hn::Abs(h));
    if (gradient != nullptr) {
      hn::StoreU(add_signed(d, hn::LoadU(d, gradient + i), h, step), d, gradient + i);
    }
  }
  if (i < size) {
    const auto h = load_first(d, codes + i, size - i);
    sum = hn::Add(sum, hn::Abs(h));
    if (gradient != nullptr) {
      const auto g = load_first(d, gradient + i, size - i);
      store_first(add_signed(d, g, h, step), d, gradient + i, size - i);
    }
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(l1_penalty_chunk);

void CpuBackend::l1_penalty(ConstMat codes, float weight, Mat gradient, double* penalty) {
  constexpr std::int64_t chunk = 4096;
  constexpr std::int64_t chunks_for_threads = 32;
  require(gradient.empty() || (gradient.rows == codes.rows && gradient.columns == codes.columns),
          "l1_penalty", "a gradient of the codes' shape, or none");
  require(penalty != nullptr, "l1_penalty", "a place for the penalty");
  const std::int64_t size = codes.size();
  const std::int64_t chunks = (size + chunk - 1) / chunk;
  double* sums = scratch_.reserve<double>(chunks);
  pool_.for_ranges(chunks, 1, chunks_for_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t first = c * chunk;
      sums[c] = static_cast<double>(HWY_DYNAMIC_DISPATCH(l1_penalty_chunk)(
          codes.data + first, weight, gradient.empty() ? nullptr : gradient.data + first,
          std::min(chunk, size - first)));
    }
  });
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c)
    sum += sums[c];
  *penalty += static_cast<double>(codes.rows) * static_cast<double>(weight) * sum;
}

}  // namespace hourglass::cpu
#endif
