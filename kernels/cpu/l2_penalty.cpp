// l2_penalty: rows * lambda / 2 * sum of weights^2 and lambda * weights added to the gradient: 12
// bytes an element. The sum in float64, a chunk's at a time, added in the chunks' order.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/l2_penalty.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"
#include "kernels/cpu/square_sum-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Returns the sum of the squares; gradient may be null. The weights of a chunk are read twice, the
/// second time from the first-level cache.
double l2_penalty_chunk(const float* weights, float lambda, float* gradient, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto slope = hn::Set(d, lambda);
  if (gradient != nullptr) {
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes) {
      const auto w = hn::LoadU(d, weights + i);
      hn::StoreU(hn::MulAdd(slope, w, hn::LoadU(d, gradient + i)), d, gradient + i);
    }
    if (i < size) {
      const auto w = load_first(d, weights + i, size - i);
      const auto g = load_first(d, gradient + i, size - i);
      store_first(hn::MulAdd(slope, w, g), d, gradient + i, size - i);
    }
  }
  return square_sum(weights, size);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(l2_penalty_chunk);

void CpuBackend::l2_penalty(std::span<const float> weights, float lambda, std::int64_t rows,
                            std::span<float> gradient, double* penalty) {
  constexpr std::int64_t chunk = 4096;
  constexpr std::int64_t chunks_for_threads = 32;
  require(gradient.empty() || gradient.size() == weights.size(), "l2_penalty",
          "as many gradients as weights, or none");
  require(penalty != nullptr, "l2_penalty", "a place for the penalty");
  const auto size = static_cast<std::int64_t>(weights.size());
  const std::int64_t chunks = (size + chunk - 1) / chunk;
  double* sums = scratch_.reserve<double>(chunks);
  pool_.for_ranges(chunks, 1, chunks_for_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t first = c * chunk;
      sums[c] = HWY_DYNAMIC_DISPATCH(l2_penalty_chunk)(
          weights.data() + first, lambda, gradient.empty() ? nullptr : gradient.data() + first,
          std::min(chunk, size - first));
    }
  });
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c)
    sum += sums[c];
  *penalty += 0.5 * static_cast<double>(rows) * static_cast<double>(lambda) * sum;
}

}  // namespace hourglass::cpu
#endif
